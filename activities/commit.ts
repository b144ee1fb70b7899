import { rm } from 'node:fs/promises';
import { diskIdentity } from '../guard/identity.ts';
import { unsafe } from '../domain/errors.ts';
import type { EpochRef, RemoveSourceInput, RemoveSourceResult } from './contract.ts';
import { journalPathFor } from '../transfer/journal.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';
import { targetMemory } from './reserve-target.ts';

/** The last verb on the target: autostart as it was, and nothing left of the move but the VM. */
export async function settleTarget(
  parts: HostParts,
  input: EpochRef & { autostart: boolean },
  signal: AbortSignal,
): Promise<void> {
  const folder = folderOf(parts, input);
  const options = { ref: input, states: ['owner'] as const, operation: 'settle', signal };
  await whileOurs(parts, options, async () => {
    await parts.hypervisor.setAutostart(input.vm.uuid, input.autostart);
    for (const { path } of (await targetMemory(folder)).volumes)
      await rm(journalPathFor(path), { force: true });
    await folder.remove();
  });
}

/**
 * The only verb that destroys data of the source, and only after a commit: undefines the VM and deletes the volumes
 * that were copied, each only if it still is the disk that the guard wrote down. The ledger keeps saying `released`.
 */
export async function removeSource(
  parts: HostParts,
  input: RemoveSourceInput,
  signal: AbortSignal,
): Promise<RemoveSourceResult> {
  const { hypervisor, ledger, name } = parts;
  const { vm, epoch, migrationId, target } = input;
  const folder = folderOf(parts, input);
  const options = {
    ref: input,
    states: ['released'] as const,
    operation: 'remove the source',
    signal,
  };
  return whileOurs(parts, options, async (entry) => {
    const left: string[] = [];
    await hypervisor.undefine(vm.uuid);
    for (const { sourcePath, sourceFormat } of input.disks) {
      const known = entry.disks.find(({ path }) => path === sourcePath);
      const identity = await diskIdentity(sourcePath);
      if (identity === '' || known === undefined) continue;
      if (known.identity !== identity) throw otherFile(name, sourcePath);
      if (!(await hypervisor.deleteVolume(sourcePath, sourceFormat))) left.push(sourcePath);
    }
    // A deleted file's inode may serve another VM's disk: the entry must not refuse that one.
    await ledger.transition(vm.uuid, {
      to: 'released',
      epoch,
      migrationId,
      name: vm.name,
      note: `moved to ${target}`,
      disks: [],
    });
    await folder.remove();
    return { left };
  });
}

const otherFile = (host: string, path: string) =>
  unsafe({
    code: 'not-the-source-disk',
    message: `${path} on ${host} is not the file that was copied; it is not deleted`,
    remedy:
      'The VM runs on its new host. Look at the file, and delete it yourself if nothing needs it.',
    host,
  });
