import { lowestCap, shareOfCap } from '../domain/bandwidth.ts';
import type { LiveMigration } from '../platforms/libvirt/live/live-migration.ts';
import type { HostBandwidth } from './host-bandwidth.ts';
import { mebibytesOf } from './live/limits.ts';

interface LiveRun {
  uuid: string;
  ownBytesPerSecond: number;
}

/**
 * The live migrations that leave this host now. libvirt's traffic passes no bucket of ours: each run gets an equal share
 * of the host's cap, told anew to libvirt whenever one begins or ends or the cap changes.
 */
export class LiveShares {
  readonly #runs = new Set<LiveRun>();
  readonly #live: Pick<LiveMigration, 'setBandwidth'>;
  readonly #capOf: () => Promise<number>;

  /** `ceiling` lowers a cap to what the host's policy allows. */
  constructor(options: {
    live: Pick<LiveMigration, 'setBandwidth'>;
    bandwidth: HostBandwidth;
    ceiling: (bytesPerSecond: number) => Promise<number> | number;
  }) {
    const { live, bandwidth, ceiling } = options;
    this.#live = live;
    this.#capOf = async () => ceiling((await bandwidth.inForce()).upBytesPerSecond);
    bandwidth.onChange(() => this.#tell());
  }

  /** The share that a run has or would have, bytes a second; 0 is none. */
  async shareFor(uuid: string): Promise<number> {
    const others = [...this.#runs].filter((run) => run.uuid !== uuid).length;
    return shareOfCap(await this.#capOf(), others + 1);
  }

  /** Runs `migrate` as one of them, with its share of the moment that it asks in. What the others are told on the way is not its concern: `onTrouble` hears of it. */
  async during<T>(
    run: LiveRun,
    migrate: (share: () => Promise<number>) => Promise<T>,
    onTrouble: (error: unknown) => void,
  ): Promise<T> {
    const joined = { ...run };
    this.#runs.add(joined);
    try {
      await this.#tell(joined).catch(onTrouble);
      return await migrate(() => this.shareFor(run.uuid));
    } finally {
      this.#runs.delete(joined);
      await this.#tell().catch(onTrouble);
    }
  }

  /** A run's own cap was changed. */
  tuned({ uuid, ownBytesPerSecond }: LiveRun): void {
    for (const run of this.#runs) if (run.uuid === uuid) run.ownBytesPerSecond = ownBytesPerSecond;
  }

  /** Tells libvirt the cap of every run but one that is yet to begin with it. */
  async #tell(beginning?: LiveRun): Promise<void> {
    const runs = [...this.#runs].filter((run) => run !== beginning);
    const share = shareOfCap(await this.#capOf(), this.#runs.size);
    const told = await Promise.allSettled(
      runs.map(({ uuid, ownBytesPerSecond }) =>
        this.#live.setBandwidth(uuid, mebibytesOf(lowestCap(ownBytesPerSecond, share))),
      ),
    );
    for (const one of told) if (one.status === 'rejected') throw one.reason;
  }
}
