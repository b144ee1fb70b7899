import type { EpochRef } from '../contract.ts';
import { folderOf, underLock } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { clearTarget } from '../undo.ts';

/**
 * Removes what the import made on the target. A VM that the guard knew by this import alone is forgotten: nothing here
 * owns it any more, and the source never had a guard of ours.
 */
export async function clearImport(
  parts: HostParts,
  input: EpochRef,
  signal: AbortSignal,
): Promise<void> {
  const { ledger } = parts;
  const { vm, migrationId } = input;
  const knownBefore = (await folderOf(parts, input).read('target'))?.knownBefore;
  await clearTarget(parts, input, signal);
  if (knownBefore !== false) return;
  await underLock(parts, { ref: input, operation: 'forget', signal }, async () => {
    const entry = await ledger.read(vm.uuid);
    if (entry?.migrationId === migrationId && entry.state === 'released')
      await ledger.remove(vm.uuid, entry);
  });
}
