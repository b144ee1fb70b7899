import type { EpochRef, StartResult } from './contract.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';
import { targetMemory } from './reserve-target.ts';

/** Starts the VM on the host that owns it; libvirt itself asks the guard once more. */
export async function ensureStarted(
  parts: HostParts,
  input: EpochRef,
  signal: AbortSignal,
): Promise<StartResult> {
  const folder = folderOf(parts, input);
  const options = { ref: input, states: ['owner'] as const, operation: 'start', signal };
  return whileOurs(parts, options, async () => {
    const memory = await targetMemory(folder);
    await parts.hypervisor.start(input.vm.uuid);
    const upAtMs = memory.upAtMs ?? Date.now();
    if (memory.upAtMs === undefined) await folder.write('target', { ...memory, upAtMs });
    return { upForMs: Math.max(0, Date.now() - upAtMs) };
  });
}

/** Rejects if the VM does not stay up for `forMs`. */
export async function ensureHealthy(
  parts: HostParts,
  input: EpochRef & { forMs: number },
  signal: AbortSignal,
): Promise<void> {
  await parts.hypervisor.watchHealth(input.vm.uuid, { forMs: input.forMs, signal });
}
