import { diskIdentity } from '../guard/identity.ts';
import { unsafe, VmFerryError } from '../domain/errors.ts';
import type { DiskPlan, ReserveTargetInput } from './contract.ts';
import type { MoveFolder, TargetMemory } from './move-folder.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/** Ledger `incoming`, so that nothing starts the VM here yet; then its volumes, each written down before it is made. */
export async function reserveTarget(
  parts: HostParts,
  input: ReserveTargetInput,
  signal: AbortSignal,
): Promise<DiskPlan[]> {
  const { ledger, name } = parts;
  const { vm, epoch, migrationId, source } = input;
  const folder = folderOf(parts, input);
  if ((await folder.read('target')) === undefined) {
    const knownBefore = (await ledger.read(vm.uuid)) !== undefined;
    await folder.write('target', { knownBefore, volumes: [], defined: false });
  }
  await ledger.transition(vm.uuid, {
    to: 'incoming',
    epoch,
    migrationId,
    name: vm.name,
    note: `on its way from ${source} to ${name}`,
    disks: [],
    signal,
  });
  await whileOurs(
    parts,
    { ref: input, states: ['incoming'], operation: 'make volumes', signal },
    async () => {
      await makeVolumes(parts, input, folder);
      const disks = await Promise.all(
        input.disks.map(async ({ targetPath }) => ({
          path: targetPath,
          identity: await diskIdentity(targetPath),
        })),
      );
      await ledger.transition(vm.uuid, {
        to: 'incoming',
        epoch,
        migrationId,
        name: vm.name,
        note: `on its way from ${source} to ${name}`,
        disks,
      });
    },
  );
  return input.disks;
}

async function makeVolumes(
  parts: HostParts,
  input: ReserveTargetInput,
  folder: MoveFolder,
): Promise<void> {
  for (const disk of input.disks) {
    const memory = await targetMemory(folder);
    let own = memory.volumes.find(({ path }) => path === disk.targetPath);
    const madeBefore = own !== undefined;
    if (own === undefined) {
      if (await parts.hypervisor.volumeExists(disk.targetPool, disk.targetVolume))
        throw volumeAppeared(parts, disk);
      own = {
        pool: disk.targetPool,
        volume: disk.targetVolume,
        path: disk.targetPath,
        format: disk.targetFormat,
        identity: '',
      };
      memory.volumes.push(own);
      // Before the volume: what is not written down is never deleted.
      await folder.write('target', memory);
    }
    try {
      await parts.hypervisor.ensureVolume({
        pool: disk.targetPool,
        name: disk.targetVolume,
        capacityBytes: disk.capacityBytes,
        format: disk.targetFormat,
        allocation: disk.allocation,
        ownedByMove: madeBefore,
      });
    } catch (error) {
      if (error instanceof VmFerryError && error.code === 'volume-exists') {
        // Somebody else's after all: it must not be taken for ours when the move is cleared up.
        await folder.write('target', {
          ...memory,
          volumes: memory.volumes.filter((volume) => volume !== own),
        });
      }
      throw error;
    }
    own.identity = await diskIdentity(disk.targetPath);
    await folder.write('target', memory);
  }
}

export async function targetMemory(folder: MoveFolder): Promise<TargetMemory> {
  return (await folder.read('target')) ?? { knownBefore: true, volumes: [], defined: false };
}

const volumeAppeared = (parts: HostParts, disk: { targetPool: string; targetVolume: string }) =>
  unsafe({
    code: 'volume-exists',
    message: `${parts.name} suddenly has a volume ${disk.targetPool}/${disk.targetVolume} that this move did not make`,
    remedy: 'Find out who made it. If nothing needs it, delete it and start the move again.',
    host: parts.name,
  });
