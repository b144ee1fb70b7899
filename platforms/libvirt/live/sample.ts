/** libvirt's statistics of a migration job as the figures that a move goes by. */
import { JobOperation, JobParam, numberParam } from '../../../protocols/libvirt/index.ts';
import type { TypedParam } from '../../../protocols/libvirt/index.ts';
import { LiveJobKind } from '../../../domain/live-outcome.ts';
import type { ConvergenceSample } from '../../../domain/convergence.ts';

/** How a run stands. */
export const LiveStatus = {
  active: 'active',
  /** libvirt reported its end, with the final figures. */
  completed: 'completed',
  /** The job is over and libvirt says no more: read `outcome` for how. */
  ended: 'ended',
  /**
   * Post-copy was interrupted. libvirt 9.0 lets the job stand for ever then, with figures that move no more, and if that
   * came in the moment of the switch, `begin` never settles either, since the target's libvirtd waits for news that
   * went by: do not await it any longer. A resumed run is a new one to watch.
   */
  interrupted: 'interrupted',
} as const;
export type LiveStatus = (typeof LiveStatus)[keyof typeof LiveStatus];

/** One look at a run. What libvirt has not said is 0, or absent where 0 would mean something. */
export interface LiveSample extends ConvergenceSample {
  status: LiveStatus;
  memoryTotalBytes: number;
  diskTotalBytes: number;
  diskBytesPerSecond: number;
  /** Pages that the target asked for in post-copy. */
  requestedPages: number;
  /** The pause that QEMU expects as a run goes on. */
  expectedDowntimeMs?: number;
  /** The pause that it was, by libvirt, with the last sample of a completed run; post-copy has none. */
  downtimeMs?: number;
  /** When libvirt told that the guest stands still, by `performance.now()`, if it was heard. */
  pausedAtMs?: number;
  /** How long QEMU took until the first page, ms. */
  setupMs?: number;
}

/** What the statistics say. Source of the fields: include/libvirt/libvirt-domain.h; 9.0 was seen to send them. */
export function sampleOf(
  params: readonly TypedParam[],
  about: { status: LiveStatus; inPostCopy: boolean },
): LiveSample {
  const read = (field: string): number => numberParam(params, field) ?? 0;
  const downtimeMs = numberParam(params, JobParam.downtime);
  const setupMs = numberParam(params, JobParam.setupTime);
  return {
    ...about,
    elapsedMs: read(JobParam.timeElapsed),
    iteration: read(JobParam.memoryIteration),
    memoryTotalBytes: read(JobParam.memoryTotal),
    memoryProcessedBytes: read(JobParam.memoryProcessed),
    memoryRemainingBytes: read(JobParam.memoryRemaining),
    bytesPerSecond: read(JobParam.memoryRate),
    dirtyBytesPerSecond: read(JobParam.memoryDirtyRate) * read(JobParam.memoryPageSize),
    diskTotalBytes: read(JobParam.diskTotal),
    diskProcessedBytes: read(JobParam.diskProcessed),
    diskRemainingBytes: read(JobParam.diskRemaining),
    diskBytesPerSecond: read(JobParam.diskRate),
    requestedPages: read(JobParam.postcopyRequests),
    throttlePercent: read(JobParam.throttle),
    ...(downtimeMs !== undefined && about.status === LiveStatus.completed && { downtimeMs }),
    ...(downtimeMs !== undefined &&
      about.status === LiveStatus.active && { expectedDowntimeMs: downtimeMs }),
    ...(setupMs !== undefined && { setupMs }),
  };
}

/** The kind of a job by its statistics; a job without any is none. */
export function jobKindOf(params: readonly TypedParam[]): LiveJobKind {
  const operation = numberParam(params, JobParam.operation);
  if (operation === JobOperation.migrationOut) return LiveJobKind.outgoing;
  return operation === JobOperation.migrationIn ? LiveJobKind.incoming : LiveJobKind.other;
}
