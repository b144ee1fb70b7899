import { identitiesOf } from './identities.ts';
import { diskIdentity } from '../guard/identity.ts';
import { unsafe, VmFerryError } from '../domain/errors.ts';
import type { DiskPlan, ReserveTargetInput } from './contract.ts';
import type { MoveFolder, OwnVolume, TargetMemory } from './move-folder.ts';
import { folderOf, whileOpen, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/**
 * Ledger `incoming`, so that nothing starts the VM here yet; then its volumes, each written down before it is made.
 * Gives the disks with the places that their volumes got.
 */
export async function reserveTarget(
  parts: HostParts,
  input: ReserveTargetInput,
  signal: AbortSignal,
): Promise<DiskPlan[]> {
  return whileOpen(parts, { ref: input, operation: 'reserve', signal }, () =>
    reserve(parts, input, signal),
  );
}

async function reserve(
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
  const incoming = {
    to: 'incoming' as const,
    epoch,
    migrationId,
    name: vm.name,
    note: `on its way from ${source} to ${name}`,
  };
  // Nothing is made beside the ledger for disks that stay where they are: one entry will do.
  const makesNone = input.disks.every(({ how }) => how === 'shared');
  const first = makesNone ? await identitiesOf(input.disks, 'target') : [];
  await ledger.transition(vm.uuid, { ...incoming, disks: first, signal });
  if (makesNone) return input.disks;
  return whileOurs(
    parts,
    { ref: input, states: ['incoming'], operation: 'make volumes', signal },
    async () => {
      const placed: DiskPlan[] = [];
      for (const disk of input.disks) {
        const below = placed.find(({ name: other }) => other === disk.liesOn);
        placed.push(
          disk.how === 'shared' ? disk : await makeVolume(parts, { disk, below }, folder),
        );
      }
      await ledger.transition(vm.uuid, {
        ...incoming,
        disks: await identitiesOf(placed, 'target'),
      });
      return placed;
    },
  );
}

async function makeVolume(
  parts: HostParts,
  { disk, below }: { disk: DiskPlan; below: DiskPlan | undefined },
  folder: MoveFolder,
): Promise<DiskPlan> {
  // Made alone it would be one image with holes, which looks whole.
  if ((disk.liesOn === undefined) !== (below === undefined))
    throw new Error(`${disk.name} is planned on ${disk.liesOn}, which was not made`);
  const memory = await targetMemory(folder);
  const found = memory.volumes.find((one) => one.disk === disk.name);
  if (
    found === undefined &&
    (await parts.hypervisor.volumeExists(disk.targetPool, disk.targetVolume))
  )
    throw volumeAppeared(parts, disk);
  const own: OwnVolume = found ?? {
    disk: disk.name,
    pool: disk.targetPool,
    volume: disk.targetVolume,
    path: disk.targetPath,
    kind: disk.targetKind,
    format: disk.targetFormat,
    identity: '',
  };
  if (found === undefined) {
    memory.volumes.push(own);
    // Before the volume: what is not written down is never deleted.
    await folder.write('target', memory);
  }
  let larger: number | undefined;
  try {
    const { capacityBytes, ...place } = await parts.hypervisor.ensureVolume({
      pool: disk.targetPool,
      name: disk.targetVolume,
      capacityBytes: disk.capacityBytes,
      format: disk.targetFormat,
      allocation: disk.allocation,
      ...(below === undefined
        ? {}
        : { backing: { path: below.targetPath, format: below.targetFormat } }),
      ownedByMove: found !== undefined,
    });
    Object.assign(own, place);
    larger = capacityBytes;
  } catch (error) {
    if (error instanceof VmFerryError && error.code === 'volume-exists') {
      // Somebody else's after all: it must not be taken for ours when the move is cleared up.
      const volumes = memory.volumes.filter((volume) => volume !== own);
      await folder.write('target', { ...memory, volumes });
    }
    throw error;
  }
  own.identity = own.kind === 'network' ? '' : await diskIdentity(own.path);
  await folder.write('target', memory);
  return {
    ...disk,
    targetPath: own.path,
    targetKind: own.kind,
    ...(larger === undefined ? {} : { targetCapacityBytes: larger }),
    ...(own.network === undefined ? {} : { targetNetwork: own.network }),
  };
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
