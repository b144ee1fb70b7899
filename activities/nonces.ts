import { layersOf, movedDisks } from '../domain/disk-plan.ts';
import type { VmFacts } from '../domain/vm.ts';
import type { MoveRef, StorageNonce } from './contract.ts';
import { folderOf } from './ours.ts';
import type { HostParts } from './parts.ts';

/** Writes a nonce beside each image of the VM, after it was written down where they will lie. */
export async function writeNonces(
  parts: HostParts,
  ref: MoveRef,
  vm: VmFacts,
): Promise<StorageNonce[]> {
  const disks = layersOf(movedDisks(vm));
  await folderOf(parts, ref).write('nonces', { disks });
  return parts.hypervisor.writeNonces(ref.migrationId, disks);
}

/** Removes what `writeNonces` wrote for this move; safe to run twice, and where nothing was written. */
export async function removeNonces(parts: HostParts, ref: MoveRef): Promise<void> {
  const folder = folderOf(parts, ref);
  const memory = await folder.read('nonces');
  if (memory === undefined) return;
  await parts.hypervisor.removeNonces(ref.migrationId, memory.disks);
  await folder.removeFile('nonces.json');
}
