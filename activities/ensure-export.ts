import { fingerprint } from '../guard/identity.ts';
import { offeredDefinition } from './check-source.ts';
import type { MoveRef, OpenExport, OpenExportInput } from './contract.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';
import { offeredState } from './state-parcel.ts';

/** A read-only export of a guarded, stopped disk, for the target's certificate alone. */
export async function ensureExport(
  parts: HostParts,
  input: OpenExportInput,
  signal: AbortSignal,
): Promise<OpenExport> {
  const { disk, target, migrationId } = input;
  const options = {
    ref: input,
    states: ['migrating-out'] as const,
    operation: `export ${disk.name}`,
    signal,
  };
  return whileOurs(parts, options, async () => {
    const endpoint = await parts.dataPlane.ensureExport({
      migrationId,
      name: disk.name,
      path: disk.sourcePath,
      format: disk.sourceFormat,
      target,
    });
    return {
      endpoint,
      fingerprint: await sourceFingerprint(parts, input.vm.uuid, disk.sourcePath),
    };
  });
}

/** One state of a source disk: changes with every write and with every start of the VM. */
export async function sourceFingerprint(
  parts: HostParts,
  uuid: string,
  path: string,
): Promise<string> {
  return fingerprint(path, await parts.ledger.runCount(uuid));
}

/** Ends everything that the source shows of itself for this move, the copy of the definition included. */
export async function closeExports(parts: HostParts, ref: MoveRef): Promise<void> {
  await parts.operations.endAll(ref.migrationId);
  await parts.dataPlane.closeExports(ref.migrationId);
  await folderOf(parts, ref).removeFile(offeredDefinition);
  await folderOf(parts, ref).removeFile(offeredState);
}
