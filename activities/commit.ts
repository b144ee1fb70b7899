import { rm } from 'node:fs/promises';
import { placeOf } from '../domain/disk-plan.ts';
import { diskIdentity } from '../guard/identity.ts';
import { unsafe } from '../domain/errors.ts';
import type { EpochRef, RemoveSourceInput, RemoveSourceResult } from './contract.ts';
import { markEnded } from './ended.ts';
import { journalPathOf } from './journal-path.ts';
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
  const options = {
    ref: input,
    states: ['owner'] as const,
    operation: 'settle',
    signal,
    lastVerb: true as const,
  };
  await whileOurs(parts, options, async () => {
    await parts.hypervisor.setAutostart(input.vm.uuid, input.autostart);
    for (const volume of (await targetMemory(folder)).volumes)
      await rm(journalPathOf(parts, volume), { force: true });
    await markEnded(parts, input);
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
    lastVerb: true as const,
  };
  return whileOurs(parts, options, async (entry) => {
    const left: string[] = [];
    await hypervisor.undefine(vm.uuid, { state: 'remove' });
    for (const disk of input.disks) {
      if (disk.how === 'shared') continue;
      const volume = placeOf(disk, 'source');
      const { kind, path } = volume;
      const known = entry.disks.find((one) => one.path === path);
      const identity = kind === 'network' ? '' : await diskIdentity(path);
      // A device or a LUN was somebody's before it was the VM's, and what others may use too is not ours to delete.
      const isOurs = disk.exclusive && (kind === 'file' || volume.network?.protocol === 'rbd');
      // An attempt before this one may have removed all. The host has no look at a network image, but the guard knew
      // each that is ours until it was dealt with.
      const isGone = kind === 'network' ? isOurs && known === undefined : identity === '';
      if (isGone) continue;
      if (known !== undefined && known.identity !== identity) throw otherFile(name, path);
      const isKnown = isOurs && known !== undefined;
      if (isKnown && (await hypervisor.deleteVolume(volume))) continue;
      // Two disks may lie on one image.
      if (!left.includes(path)) left.push(path);
    }
    const shared = input.disks.filter(({ how }) => how === 'shared').map((disk) => disk.sourcePath);
    // A deleted file's inode may serve another VM's disk, which the entry must not refuse. A shared disk stays the VM's.
    await ledger.transition(vm.uuid, {
      to: 'released',
      epoch,
      migrationId,
      name: vm.name,
      note: `moved to ${target}`,
      disks: entry.disks.filter(({ path }) => shared.includes(path)),
    });
    await markEnded(parts, input);
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
