/** What one host's libvirt says of a VM that is on its way, and what two of them say together. */
import type { Connection, DomainRef } from '../../../protocols/libvirt/index.ts';
import {
  DomainState,
  JobStatsFlag,
  JobType,
  numberParam,
  JobParam,
  PausedReason,
  RunningReason,
  ShutoffReason,
} from '../../../protocols/libvirt/index.ts';
import { isRefusal } from '../faults.ts';
import { jobKindOf, LiveJobKind, LiveStatus, sampleOf } from './sample.ts';
import type { LiveSample } from './sample.ts';

/** Where a VM stands on one host. */
export const LivePlace = {
  /** libvirt knows no such VM. */
  gone: 'gone',
  /** Defined, and off for another reason than a move. */
  off: 'off',
  /** Defined, and off because it moved away. */
  movedAway: 'moved-away',
  running: 'running',
  /** Paused by a person or a fault, not by a move. */
  paused: 'paused',
  /** Paused by a move: at the source at the switch, at the target until then. */
  switching: 'switching',
  /** In post-copy: paused at the source, running at the target without all of its memory. */
  postCopy: 'post-copy',
  /** Post-copy was interrupted: neither side has the whole guest. */
  postCopyFailed: 'post-copy-failed',
} as const;
export type LivePlace = (typeof LivePlace)[keyof typeof LivePlace];

/** A job of libvirt's on a VM. */
export type LiveJob =
  | { kind: typeof LiveJobKind.none }
  | {
      kind: Exclude<LiveJobKind, typeof LiveJobKind.none>;
      /** Number of virDomainJobOperation; 0 where libvirt says none. */
      operation: number;
      elapsedMs: number;
    };

export interface LiveView {
  place: LivePlace;
  job: LiveJob;
}

/** The view of one host. Throws what libvirt refuses, but for a VM that it does not know. */
export async function readView(connection: Connection, uuid: string): Promise<LiveView> {
  return unlessUnknown({ place: LivePlace.gone, job: noJob }, async () => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    // The job first: one that ends in between leaves a state that is final.
    const job = await readJobOf(connection, dom);
    const { state, reason } = await connection.call('DomainGetState', { dom });
    return { place: placeOf(state, reason), job };
  });
}

const noJob: LiveJob = { kind: LiveJobKind.none };

/** The job on a VM; none also where libvirt does not know it or it is off. */
export async function readJob(connection: Connection, uuid: string): Promise<LiveJob> {
  return unlessUnknown(noJob, async () => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    return readJobOf(connection, dom);
  });
}

async function readJobOf(connection: Connection, dom: DomainRef): Promise<LiveJob> {
  try {
    const { type, params } = await connection.call('DomainGetJobStats', { dom });
    if (type === JobType.none) return noJob;
    const elapsedMs = numberParam(params, JobParam.timeElapsed) ?? 0;
    const operation = numberParam(params, JobParam.operation) ?? 0;
    const kind = jobKindOf(params);
    return { kind, operation, elapsedMs };
  } catch (error) {
    // It is off.
    if (isRefusal(error, 'OPERATION_INVALID')) return noJob;
    // The target of a migration has no figures: "statistics are available only on the source host" (libvirt 9.0).
    if (isRefusal(error, 'OPERATION_UNSUPPORTED'))
      return { kind: LiveJobKind.incoming, operation: 0, elapsedMs: 0 };
    throw error;
  }
}

/** One look at a migration away from here; undefined once there is none. */
export async function readSample(
  connection: Connection,
  uuid: string,
): Promise<LiveSample | undefined> {
  return unlessUnknown(undefined, async () => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    try {
      const { type, params } = await connection.call('DomainGetJobStats', { dom });
      if (type === JobType.none || jobKindOf(params) !== LiveJobKind.outgoing) return undefined;
      const { state, reason } = await connection.call('DomainGetState', { dom });
      const place = placeOf(state, reason);
      const isBroken = place === LivePlace.postCopyFailed;
      const status = isBroken ? LiveStatus.interrupted : LiveStatus.active;
      return sampleOf(params, { status, inPostCopy: isBroken || place === LivePlace.postCopy });
    } catch (error) {
      // It is off, or the target of another's migration.
      if (isRefusal(error, 'OPERATION_INVALID') || isRefusal(error, 'OPERATION_UNSUPPORTED'))
        return undefined;
      throw error;
    }
  });
}

/**
 * The figures of the last migration that ended well, as this host keeps them; undefined if it keeps none. Reading does
 * not remove them. Libvirt 9.0 keeps them at the source while the definition stays there, and at the target.
 */
export async function readCompleted(
  connection: Connection,
  uuid: string,
): Promise<LiveSample | undefined> {
  return unlessUnknown(undefined, async () => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    const flags = JobStatsFlag.completed | JobStatsFlag.keepCompleted;
    const { type, params } = await connection.call('DomainGetJobStats', { dom, flags });
    const kind = jobKindOf(params);
    if (type !== JobType.completed || kind === LiveJobKind.other) return undefined;
    return sampleOf(params, { status: LiveStatus.completed, inPostCopy: false });
  });
}

async function unlessUnknown<T>(otherwise: T, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN')) return otherwise;
    throw error;
  }
}

/** libvirt's state and its reason as a place. */
export function placeOf(state: number, reason: number): LivePlace {
  switch (state) {
    case DomainState.running:
    case DomainState.blocked:
    case DomainState.pmsuspended:
      if (reason === RunningReason.postcopy) return LivePlace.postCopy;
      return reason === RunningReason.postcopyFailed ? LivePlace.postCopyFailed : LivePlace.running;
    case DomainState.paused:
      return pausedPlaces[reason] ?? LivePlace.paused;
    case DomainState.shutoff:
      return reason === ShutoffReason.migrated ? LivePlace.movedAway : LivePlace.off;
    case DomainState.crashed:
      return LivePlace.off;
    default:
      return LivePlace.paused;
  }
}

const pausedPlaces: Readonly<Record<number, LivePlace>> = {
  [PausedReason.migration]: LivePlace.switching,
  [PausedReason.startingUp]: LivePlace.switching,
  [PausedReason.postcopy]: LivePlace.postCopy,
  [PausedReason.postcopyFailed]: LivePlace.postCopyFailed,
};

/** How a live move stands, by both hosts. */
export const LiveOutcome = {
  /** It still runs; attach to it. */
  moving: 'moving',
  /** The VM is at the source, and nothing of it at the target. */
  stayed: 'stayed',
  /** The VM runs at the target (or is paused there, as it was before), and the source let go. */
  arrived: 'arrived',
  postCopyFailed: 'post-copy-failed',
  /** No job, and yet halfway: libvirtd may not have come to it yet. Look again before anything is done. */
  undecided: 'undecided',
  /** It is active on both sides and no job explains it: stop and call a person. */
  split: 'split',
  /** It is active on neither side. */
  down: 'down',
} as const;
export type LiveOutcome = (typeof LiveOutcome)[keyof typeof LiveOutcome];

const active: readonly LivePlace[] = [LivePlace.running, LivePlace.paused];

/**
 * What the two views say together. Take the target's first, then the source's, and neither from memory: a move that
 * ends between the two then reads as `undecided`, never as `split`.
 */
export function liveOutcome(views: { source: LiveView; target: LiveView }): LiveOutcome {
  const { source, target } = views;
  const places = [source.place, target.place];
  if (places.includes(LivePlace.postCopyFailed)) return LiveOutcome.postCopyFailed;
  if (source.job.kind === LiveJobKind.outgoing) return LiveOutcome.moving;
  if (target.job.kind === LiveJobKind.incoming) return LiveOutcome.undecided;
  const atSource = active.includes(source.place);
  const atTarget = active.includes(target.place);
  if (atSource && atTarget) return LiveOutcome.split;
  const halfway: readonly LivePlace[] = [LivePlace.switching, LivePlace.postCopy];
  if (places.some((place) => halfway.includes(place))) return LiveOutcome.undecided;
  if (atTarget) return LiveOutcome.arrived;
  if (atSource) return LiveOutcome.stayed;
  return LiveOutcome.down;
}
