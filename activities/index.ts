/** Which verbs a host worker serves; each goes through the boundary, which beats, maps errors and logs. */
import { Context } from '@temporalio/activity';
import { Throttle } from '../transfer/throttle.ts';
import type { Attempt } from './boundary.ts';
import { checkSource } from './check-source.ts';
import { checkTarget } from './check-target.ts';
import { removeSource, settleTarget } from './commit.ts';
import type { HostActivities, MoveLiveResult } from './contract.ts';
import { ensureCopied } from './ensure-copied.ts';
import { ensureDefined } from './ensure-defined.ts';
import { closeExports, ensureExport } from './ensure-export.ts';
import { ensureHealthy, ensureStarted } from './ensure-started.ts';
import { ensureStopped } from './ensure-stopped.ts';
import { guardSource } from './guard-source.ts';
import { Followers } from './followers.ts';
import { hashDisk } from './hash-disk.ts';
import { HostBandwidth } from './host-bandwidth.ts';
import { LiveShares } from './live-shares.ts';
import { admitLive } from './live/admit-live.ts';
import { awaitArrival } from './live/await-arrival.ts';
import { cancelAsked } from './live/cancel-asked.ts';
import { endLive } from './live/end-live.ts';
import { liveView } from './live/live-view.ts';
import { moveLive } from './live/move-live.ts';
import { reserveLive } from './live/reserve-live.ts';
import { settleArrival } from './live/settle-arrival.ts';
import { settleLive } from './live/settle-live.ts';
import { tuneLive } from './live/tune-live.ts';
import { withdrawLive } from './live/withdraw-live.ts';
import { releaseSource, revokeTarget, takeOwnership } from './ownership.ts';
import type { HostParts } from './parts.ts';
import { lookToPlace } from './placement-wishes.ts';
import { gatedVerbs } from './gated.ts';
import type { Gate } from './policy-gate.ts';
import { hostFacts, listVms } from './read.ts';
import { reserveTarget } from './reserve-target.ts';
import { ensureState, offerState } from './state-parcel.ts';
import { Turns } from './turns.ts';
import { clearTarget, restoreSource } from './undo.ts';
import type { UpkeepActivities } from './upkeep.ts';

/**
 * The verbs of the host queue. All copies of a host share its bandwidth; each move has its own cap below that. With a
 * gate, each verb has to pass the host's policy.
 */
export function createHostActivities(
  parts: HostParts,
  gate?: Gate,
  bandwidth = new HostBandwidth(parts),
): HostActivities & UpkeepActivities {
  const ceiling = (cap: number): Promise<number> | number => gate?.bandwidth(cap) ?? cap;
  const throttles = new Throttles(bandwidth, ceiling);
  const shares = new LiveShares({ live: parts.hypervisor.live, bandwidth, ceiling });
  const followers = new Followers();
  const turns = new Turns(parts.parallelCopies ?? Number.POSITIVE_INFINITY);
  const verb = gatedVerbs(parts, gate);

  return {
    listVms: () => verb('listVms', () => listVms(parts))(undefined),
    findVm: verb('findVm', ({ vm }) => parts.hypervisor.glance(vm)),
    inspectVm: verb('inspectVm', ({ vm }) => parts.hypervisor.inspect(vm)),
    hostFacts: () => verb('hostFacts', () => hostFacts(parts))(undefined),
    checkSource: verb('checkSource', (input, { signal }) => checkSource(parts, input, signal)),
    checkTarget: verb('checkTarget', (input, { signal }) => checkTarget(parts, input, signal)),
    reserveTarget: verb('reserveTarget', (input, { signal }) =>
      reserveTarget(parts, input, signal),
    ),
    guardSource: verb('guardSource', (input, { signal }) => guardSource(parts, input, signal)),
    ensureStopped: verb('ensureStopped', (input, { signal }) =>
      ensureStopped(gate?.partsToStop() ?? parts, input, signal),
    ),
    ensureExport: verb('ensureExport', (input, { signal }) => ensureExport(parts, input, signal)),
    offerState: verb('offerState', (input, { signal }) => offerState(parts, input, signal)),
    ensureState: verb('ensureState', (input, { signal }) => ensureState(parts, input, signal)),
    closeExports: verb('closeExports', (input, { signal }) => closeExports(parts, input, signal)),
    ensureCopied: verb('ensureCopied', async (input, attempt) => {
      await throttles.setHostRate();
      const throttle = throttles.of(input.migrationId, input.bandwidthBytesPerSecond);
      return ensureCopied(parts, input, { ...attempt, throttle, turns, followers });
    }),
    hashDisk: verb('hashDisk', (input, attempt) =>
      hashDisk(parts, input, { ...attempt, followers }),
    ),
    ensureDefined: verb('ensureDefined', (input, { signal }) =>
      ensureDefined(parts, input, signal),
    ),
    releaseSource: verb('releaseSource', (input, { signal }) =>
      releaseSource(parts, input, signal),
    ),
    takeOwnership: verb('takeOwnership', (input, { signal }) =>
      takeOwnership(parts, input, signal),
    ),
    ensureStarted: verb('ensureStarted', (input, { signal }) =>
      ensureStarted(parts, input, signal),
    ),
    ensureHealthy: verb('ensureHealthy', (input, { signal }) =>
      ensureHealthy(parts, input, signal),
    ),
    settleTarget: verb('settleTarget', (input, { signal }) => {
      followers.forget(input);
      throttles.forget(input.migrationId);
      return settleTarget(parts, input, signal);
    }),
    removeSource: verb('removeSource', (input, { signal }) => removeSource(parts, input, signal)),
    applyLimits: verb('applyLimits', (order) => bandwidth.apply(order)),
    lookToPlace: verb('lookToPlace', (input) => lookToPlace(parts, input)),
    ...liveVerbs(parts, verb, shares),
    tuneCopy: verb('tuneCopy', ({ migrationId, bandwidthBytesPerSecond }) =>
      Promise.resolve(throttles.change(migrationId, bandwidthBytesPerSecond)),
    ),
    revokeTarget: verb('revokeTarget', (input, { signal }) => revokeTarget(parts, input, signal)),
    clearTarget: verb('clearTarget', (input, { signal }) => {
      followers.forget(input);
      throttles.forget(input.migrationId);
      return clearTarget(parts, input, signal);
    }),
    restoreSource: verb('restoreSource', (input, { signal }) =>
      restoreSource(parts, input, signal),
    ),
  };
}

type Verb = <I, O>(
  name: string,
  run: (input: I, attempt: Attempt) => Promise<O>,
) => (input: I) => Promise<O>;

type LiveVerb =
  | 'reserveLive'
  | 'admitLive'
  | 'moveLive'
  | 'liveView'
  | 'tuneLive'
  | 'endLive'
  | 'withdrawLive'
  | 'settleLive'
  | 'awaitArrival'
  | 'settleArrival';

/** libvirt's own traffic does not pass the bucket of the copies: the runs share what may leave the host. */
function liveVerbs(
  parts: HostParts,
  verb: Verb,
  shares: LiveShares,
): Pick<HostActivities, LiveVerb> {
  return {
    reserveLive: verb('reserveLive', (input, { signal }) => reserveLive(parts, input, signal)),
    admitLive: verb('admitLive', (input, { signal }) => admitLive(parts, input, signal)),
    moveLive: verb('moveLive', async (input, attempt) => {
      const { log } = Context.current();
      const { vm, bandwidthBytesPerSecond } = input;
      return shares.during<MoveLiveResult>(
        { uuid: vm.uuid, ownBytesPerSecond: bandwidthBytesPerSecond },
        (hostShare) =>
          moveLive(parts, input, { ...attempt, cancelAsked: cancelAsked(), hostShare }),
        (error) => void log.warn('a live migration did not take over its share', { error }),
      );
    }),
    liveView: verb('liveView', (input) => liveView(parts, input)),
    tuneLive: verb('tuneLive', async (input, { signal }) => {
      const { vm, bandwidthBytesPerSecond: own } = input;
      const hostBytesPerSecond = await shares.shareFor(vm.uuid);
      const isTuned = await tuneLive(parts, input, { signal, hostBytesPerSecond });
      if (isTuned && own !== undefined) shares.tuned({ uuid: vm.uuid, ownBytesPerSecond: own });
      return isTuned;
    }),
    endLive: verb('endLive', (input, { signal }) => endLive(parts, input, signal)),
    withdrawLive: verb('withdrawLive', (input, { signal }) => withdrawLive(parts, input, signal)),
    settleLive: verb('settleLive', (input, { signal }) => settleLive(parts, input, signal)),
    awaitArrival: verb('awaitArrival', (input, attempt) => awaitArrival(parts, input, attempt)),
    settleArrival: verb('settleArrival', (input, { signal }) =>
      settleArrival(parts, input, signal),
    ),
  };
}

/** The host's token bucket, which all copies share, and one a move in front of it. */
class Throttles {
  readonly #host = new Throttle({ bytesPerSecond: 0 });
  readonly #bandwidth: HostBandwidth;
  readonly #ceiling: (cap: number) => Promise<number> | number;
  readonly #byMove = new Map<string, Throttle>();

  constructor(bandwidth: HostBandwidth, ceiling: (cap: number) => Promise<number> | number) {
    this.#bandwidth = bandwidth;
    this.#ceiling = ceiling;
    bandwidth.onChange(() => this.setHostRate());
  }

  /** Asked with each copy: the policy's ceiling may have changed. */
  async setHostRate(): Promise<void> {
    const { downBytesPerSecond } = await this.#bandwidth.inForce();
    this.#host.setRate(await this.#ceiling(downBytesPerSecond));
  }

  /** 0 is no cap. The disks of one move share its bucket. */
  of(migrationId: string, bytesPerSecond: number): Pick<Throttle, 'take'> {
    const own = this.#byMove.get(migrationId) ?? new Throttle({ bytesPerSecond });
    own.setRate(bytesPerSecond);
    this.#byMove.set(migrationId, own);
    return {
      take: async (bytes, signal) => {
        await own.take(bytes, signal);
        await this.#host.take(bytes, signal);
      },
    };
  }

  /** Also for copies that run; false if the move has none here. */
  change(migrationId: string, bytesPerSecond: number): boolean {
    const own = this.#byMove.get(migrationId);
    own?.setRate(bytesPerSecond);
    return own !== undefined;
  }

  /** The move has no copy here any more. */
  forget(migrationId: string): void {
    this.#byMove.delete(migrationId);
  }
}
