import { placeOf } from '../domain/disk-plan.ts';
import { fingerprint } from '../guard/identity.ts';
import { offeredDefinition } from './check-source.ts';
import type { DiskPlan, MoveRef, OpenExport, OpenExportInput } from './contract.ts';
import { markEnded } from './ended.ts';
import { removeNonces } from './nonces.ts';
import { folderOf, underLock, whileOurs } from './ours.ts';
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
      ...placeOf(disk, 'source'),
      target,
      ...(disk.liesOn === undefined ? {} : { ownOnly: true }),
    });
    return {
      endpoint,
      fingerprint: await sourceFingerprint(parts, input.vm.uuid, disk),
    };
  });
}

/**
 * One state of a source disk: changes with every start of the VM, and of a file with every write. What QEMU alone
 * reaches over the network has no identity of the host's: there the guard's run counter stands alone.
 */
export async function sourceFingerprint(
  parts: HostParts,
  uuid: string,
  { sourcePath, sourceKind }: Pick<DiskPlan, 'sourcePath' | 'sourceKind'>,
): Promise<string> {
  const runs = await parts.ledger.runCount(uuid);
  return sourceKind === 'network'
    ? `network:${sourcePath}:run${runs}`
    : fingerprint(sourcePath, runs);
}

/** Ends everything that the source shows of itself for this move, the copy of the definition included. */
export async function closeExports(
  parts: HostParts,
  ref: MoveRef & { over?: true },
  signal: AbortSignal,
): Promise<void> {
  if (ref.over === true) {
    await underLock(parts, { ref, operation: 'end the move', signal }, () => markEnded(parts, ref));
  }
  await parts.operations.endAll(ref.migrationId);
  await parts.dataPlane.closeExports(ref.migrationId);
  await folderOf(parts, ref).removeFile(offeredDefinition);
  await folderOf(parts, ref).removeFile(offeredState);
  await removeNonces(parts, ref);
}
