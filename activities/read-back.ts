import { setTimeout as delay } from 'node:timers/promises';
import type { HostParts } from './parts.ts';

/** How long the traces of an ended QEMU may stay, and how often they are looked for: nothing announces their end. */
const endingMs = 10_000;
const lookEveryMs = 250;

/**
 * Why a VM that was brought down cannot be taken as stopped; empty if it can. A QEMU that is just ending may be seen
 * for a moment longer, so a reason counts only if it stays.
 */
export async function reasonsNotStopped(
  { hypervisor }: HostParts,
  uuid: string,
  signal: AbortSignal,
): Promise<string[]> {
  const deadline = performance.now() + endingMs;
  for (;;) {
    const reasons = await hypervisor.reasonsNotStopped(uuid);
    if (reasons.length === 0 || performance.now() > deadline) return reasons;
    await delay(lookEveryMs, undefined, { signal });
  }
}
