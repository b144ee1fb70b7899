import { setTimeout as delay } from 'node:timers/promises';
import type { LiveView } from '../../platforms/libvirt/live/view.ts';
import type { HostParts } from '../parts.ts';

/** libvirt tells of the end of a job only where it runs, so the view is read until it says so. */
const lookEveryMs = 250;

export interface ViewWait {
  timeoutMs: number;
  signal: AbortSignal;
}

/** Reads the view until `isThere` likes it; gives the last one, also when the time is up. */
export async function viewOnce(
  { hypervisor }: HostParts,
  uuid: string,
  isThere: (view: LiveView) => boolean,
  { timeoutMs, signal }: ViewWait,
): Promise<LiveView> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const view = await hypervisor.live.viewOf(uuid);
    if (isThere(view) || performance.now() >= deadline) return view;
    await delay(lookEveryMs, undefined, { signal });
  }
}
