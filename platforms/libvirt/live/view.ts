/** What one host's libvirt says of a VM that is on its way, and what two of them say together. */
import { LiveJobKind, LivePlace } from '../../../domain/live-outcome.ts';
import type { LiveHostView } from '../../../domain/live-outcome.ts';
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
import { jobKindOf, LiveStatus, sampleOf } from './sample.ts';
import type { LiveSample } from './sample.ts';

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
  /** It runs since libvirt took a migration back in the middle of its switch: the target may have it by then. */
  cameBack?: true;
}

/** The view of one host. Throws what libvirt refuses, but for a VM that it does not know. */
export async function readView(connection: Connection, uuid: string): Promise<LiveView> {
  return unlessUnknown({ place: LivePlace.gone, job: noJob }, async () => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    // The job first: one that ends in between leaves a state that is final.
    const job = await readJobOf(connection, dom);
    const { state, reason } = await connection.call('DomainGetState', { dom });
    const cameBack =
      state === DomainState.running && reason === RunningReason.migrationCanceled
        ? ({ cameBack: true } as const)
        : {};
    return { place: placeOf(state, reason), job, ...cameBack };
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

/** A view as it crosses between hosts. */
export const hostViewOf = ({ place, job }: LiveView): LiveHostView => ({ place, job: job.kind });
