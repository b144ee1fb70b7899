import { stat } from 'node:fs/promises';
import type { ProbeResult } from '../guard/probe.ts';

/** For so long a proof stands where nothing that it rests on has changed, ms. */
const standsForMs = 60_000;

export interface GuardProofOptions {
  /** The hook and the folders that libvirt finds it in. */
  paths: readonly string[];
  /** The open connection to libvirt: another one may be another daemon's, which may not have seen the hook. */
  connection: () => Promise<object>;
  /** Asks libvirt to start a VM that the guard forbids; see `probeHook`. */
  probe: () => Promise<ProbeResult>;
  /** Of a steady clock, ms. */
  now?: () => number;
}

interface Proof {
  connection: object;
  /** What stood in the hook's place right before the probe. */
  hook: string;
  atMs: number;
  result: Promise<ProbeResult>;
}

/**
 * That the guard is live, proved by a probe, which costs both libvirt and the hook some 100 ms of a processor. libvirt
 * decides at its start, and when it is told to reload, whether there is a hook: so a proof stands for a while for the
 * daemon at the other end of this connection, as long as nobody has touched the hook (ctime, which no tool sets back).
 */
export class GuardProof {
  readonly #options: GuardProofOptions;
  readonly #now: () => number;
  #proof: Proof | undefined;

  constructor(options: GuardProofOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** As `probeHook`; what was found to be live a moment ago, or is being looked at, is not probed anew. */
  async take(): Promise<ProbeResult> {
    const connection = await this.#options.connection();
    const hook = await this.#seen();
    const atMs = this.#now();
    const known = this.#proof;
    if (known !== undefined && known.connection === connection && known.hook === hook) {
      if (atMs - known.atMs <= standsForMs) return known.result;
    }
    const result = this.#options.probe();
    const proof = { connection, hook, atMs, result };
    this.#proof = proof;
    const forget = (): void => {
      if (this.#proof === proof) this.#proof = undefined;
    };
    result.then(({ live }) => {
      if (!live) forget();
    }, forget);
    return result;
  }

  async #seen(): Promise<string> {
    const facts = await Promise.all(
      this.#options.paths.map(async (path) => {
        try {
          const { dev, ino, mode, ctimeNs } = await stat(path, { bigint: true });
          return [dev, ino, mode, ctimeNs].join(':');
        } catch (error) {
          return String((error as NodeJS.ErrnoException).code);
        }
      }),
    );
    return facts.join(' ');
  }
}
