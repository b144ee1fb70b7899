/** Whether a host's worker holds to the caps that were set. */
import type { BandwidthInForce, HostState } from './state.ts';

/** The caps that the worker has to be told, or undefined if nobody set any or it holds to them. */
export function capsToApply({
  settings,
  reading,
  bandwidth,
}: HostState): Partial<BandwidthInForce> | undefined {
  const { upBytesPerSecond, downBytesPerSecond } = settings.limits;
  const inForce = bandwidth ?? reading?.bandwidth;
  const holds = (set: number | undefined, now: number | undefined): boolean =>
    set === undefined || set === now;
  if (
    holds(upBytesPerSecond, inForce?.upBytesPerSecond) &&
    holds(downBytesPerSecond, inForce?.downBytesPerSecond)
  )
    return undefined;
  return {
    ...(upBytesPerSecond === undefined ? {} : { upBytesPerSecond }),
    ...(downBytesPerSecond === undefined ? {} : { downBytesPerSecond }),
  };
}
