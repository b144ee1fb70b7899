import type { ReserveLiveInput, ReserveLiveResult } from '../contract.ts';
import type { HostParts } from '../parts.ts';
import { reserveTarget } from '../reserve-target.ts';
import { admitLive } from './admit-live.ts';

/** A place for the VM, then leave for its first run. Again it gives the same. Throws what the two throw. */
export async function reserveLive(
  parts: HostParts,
  input: ReserveLiveInput,
  signal: AbortSignal,
): Promise<ReserveLiveResult> {
  const disks = await reserveTarget(parts, input, signal);
  return { disks, leave: await admitLive(parts, { ...input, run: 1 }, signal) };
}
