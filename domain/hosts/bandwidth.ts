/** The caps of a host: whether its worker holds to them, and what moves make of them. */
import type { BandwidthInForce, HostLimits, HostState } from './state.ts';

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

/** The limits as moves reckon with them: where nobody set a cap, the one that the worker holds to by its configuration. */
export function limitsInForce({
  settings: { limits },
  reading,
}: Pick<HostState, 'settings' | 'reading'>): HostLimits {
  const { upBytesPerSecond, downBytesPerSecond } = { ...reading?.bandwidth, ...limits };
  return {
    ...limits,
    ...(upBytesPerSecond === undefined ? {} : { upBytesPerSecond }),
    ...(downBytesPerSecond === undefined ? {} : { downBytesPerSecond }),
  };
}
