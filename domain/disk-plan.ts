import { diskOf, imagesOf, isBelow, whyNotKept } from './chain.ts';
import type { HostFacts, PoolFacts } from './host.ts';
import type { MoveRequest, SharedProof } from './move.ts';
import type { DiskFormat, NetworkPlace, PlaceKind, VmDisk, VmFacts } from './vm.ts';

/** One disk's way from here to there. */
export interface DiskPlan {
  name: string;
  sourcePath: string;
  sourceFormat: DiskFormat;
  /** Of the disk: what is copied and compared. */
  capacityBytes: number;
  targetPool: string;
  targetVolume: string;
  /** Empty until `reserveTarget` made the volume, where the pool chooses the path. */
  targetPath: string;
  targetFormat: DiskFormat;
  /** Present once the volume was made and came out larger than the disk, as storage does that counts in extents. */
  targetCapacityBytes?: number;
  sourceKind: PlaceKind;
  targetKind: PlaceKind;
  /** Present for network disks. */
  sourceNetwork?: NetworkPlace;
  targetNetwork?: NetworkPlace;
  /** `shared`: both hosts see it, nothing is copied and nothing deleted. */
  how: 'copy' | 'shared';
  /** Present if shared. */
  proof?: SharedProof;
  allocation: 'thin' | 'full';
  /** Only this VM may use it: the guard knows it, and a commit deletes a copied one. Else others may have it too. */
  exclusive: boolean;
  /** Present for an image of a kept chain that has another below it, by that one's name: `vda.1`. */
  liesOn?: string;
}

/** A disk at one end of its way, as a host opens it. */
export function placeOf(
  disk: DiskPlan,
  side: 'source' | 'target',
): SeenDisk & { format: DiskFormat } {
  const network = disk[`${side}Network` as const];
  return {
    kind: disk[`${side}Kind` as const],
    path: disk[`${side}Path` as const],
    format: disk[`${side}Format` as const],
    ...(network === undefined ? {} : { network }),
  };
}

/**
 * A disk and each image below it as a disk of its own: `vda`, `vda.1`, ... The target has to see all of them for the
 * disk to be shared, since one folder of a chain may be shared and another be each host's own.
 */
export const layersOf = (disks: readonly VmDisk[]): VmDisk[] =>
  disks.flatMap((disk) => [
    disk,
    ...disk.backing.map((path, index): VmDisk => {
      const { pool: _pool, volume: _volume, network: _network, ...rest } = disk;
      return { ...rest, name: `${disk.name}.${index + 1}`, kind: 'file', path, backing: [] };
    }),
  ]);

/** Plans by the disk that they belong to, in their order: one of its own for most, a kept chain's from the bottom up. */
export function chainsOf(plans: readonly DiskPlan[]): [DiskPlan, ...DiskPlan[]][] {
  const chains = new Map<string, [DiskPlan, ...DiskPlan[]]>();
  for (const plan of plans) {
    const chain = chains.get(diskOf(plan.name));
    if (chain === undefined) chains.set(diskOf(plan.name), [plan]);
    else chain.push(plan);
  }
  return [...chains.values()];
}

/** Where the target sees a disk of the source, by the nonce that lies beside it. */
export interface SeenDisk {
  kind: PlaceKind;
  path: string;
  network?: NetworkPlace;
}

export interface DiskQuestion {
  vm: VmFacts;
  request: Pick<
    MoveRequest,
    'targetPool' | 'storage' | 'sharedDisks' | 'targetFormat' | 'disks' | 'allocation' | 'chain'
  >;
  target: Pick<HostFacts, 'pools'>;
  /** By disk name; those without a nonce, or that the target does not see, are not in it. */
  seen: Readonly<Record<string, SeenDisk>>;
}

/** The disks that hold the guest's data, in the definition's order. Drives (CD, floppy) and empty slots are left out. */
export const movedDisks = (vm: VmFacts): VmDisk[] =>
  vm.disks.filter(
    (disk) => (disk.device === 'disk' || disk.device === 'lun') && disk.kind !== 'none',
  );

/** How a disk is known to be on storage that both hosts see; undefined if it is to be copied. */
export function sharedProof(
  disk: VmDisk,
  { request, seen }: DiskQuestion,
): SharedProof | undefined {
  if (request.storage === 'copy') return undefined;
  if (seen[disk.name] !== undefined) return 'nonce';
  return request.sharedDisks?.includes(disk.name) === true ? 'content' : undefined;
}

/**
 * Pool types whose volumes a copy can write, and what their volumes are. Not `disk`: libvirt names its partitions itself,
 * so that after a crash nobody could tell which one the move had made.
 */
const writablePools: Readonly<Record<string, PlaceKind>> = {
  dir: 'file',
  fs: 'file',
  netfs: 'file',
  logical: 'block',
  rbd: 'network',
};

export const poolKind = (pool: PoolFacts): PlaceKind | undefined => writablePools[pool.type];

/** The name of the pool that a copied disk goes to: said for the disk, said for all, or the source's own. */
export const wantedPool = (disk: VmDisk, request: DiskQuestion['request']): string => {
  const said = request.disks?.[diskOf(disk.name)]?.pool;
  if (said !== undefined) return said;
  return request.targetPool === '' ? (disk.pool ?? '') : request.targetPool;
};

/** Where a copied disk goes; undefined where no pool of that name stands. */
export const poolFor = (
  disk: VmDisk,
  { request, target }: Pick<DiskQuestion, 'request' | 'target'>,
): PoolFacts | undefined => target.pools.find(({ name }) => name === wantedPool(disk, request));

/** The format that was asked for a disk, by itself or with all others. */
const saidFormat = (disk: VmDisk, request: DiskQuestion['request']): DiskFormat | undefined =>
  request.disks?.[diskOf(disk.name)]?.format ?? (request.targetFormat || undefined);

/** Whether the target is to get a copied disk image by image, and what speaks against that if anything does. */
export function chainWish(
  disk: VmDisk,
  question: Pick<DiskQuestion, 'request' | 'target'>,
): { keep: boolean; trouble?: string } {
  const { request } = question;
  if (request.chain !== 'keep' || disk.backing.length === 0) return { keep: false };
  const pool = poolFor(disk, question);
  const trouble = whyNotKept(disk, {
    poolKind: pool && poolKind(pool),
    format: saidFormat(disk, request),
  });
  return trouble === undefined ? { keep: true } : { keep: false, trouble };
}

/** What is made on the target for a copied disk, bottom first: each image of a chain that is kept, else one. */
export const copiesOf = (
  disk: VmDisk,
  question: Pick<DiskQuestion, 'request' | 'target'>,
): VmDisk[] => (chainWish(disk, question).keep ? imagesOf(disk).reverse() : [disk]);

const formatOf = (format: string): DiskFormat => (format === 'qcow2' ? 'qcow2' : 'raw');

/** Devices and RBD images are raw unless somebody says otherwise: what holds them is thin already. */
export function targetFormatFor(
  disk: VmDisk,
  { request, target }: Pick<DiskQuestion, 'request' | 'target'>,
): DiskFormat {
  if (isBelow(disk.name)) return formatOf(disk.format);
  const said = saidFormat(disk, request);
  if (said !== undefined) return said;
  const pool = poolFor(disk, { request, target });
  const inFiles = pool === undefined || poolKind(pool) === 'file';
  return inFiles ? formatOf(disk.format) : 'raw';
}

/**
 * The volume's name on the target: as on the source, with an ending that does not lie of another format. A device
 * node's own name says nothing of the VM, so its copy is named after VM and disk; so is an image below a chain's top,
 * which many VMs may lie on at the source, and each copy is one VM's alone.
 */
export function volumeNameFor(
  disk: VmDisk,
  { vm, format }: { vm: Pick<VmFacts, 'name'>; format: DiskFormat },
): string {
  const isNamed = !isBelow(disk.name) && (disk.kind === 'file' || disk.network?.protocol === 'rbd');
  if (!isNamed) return `${vm.name.replaceAll('/', '_')}-${disk.name}.${format}`;
  const name = disk.path.slice(disk.path.lastIndexOf('/') + 1);
  if (format === formatOf(disk.format)) return name;
  return `${name.replace(/\.(?:raw|img|qcow2)$/, '')}.${format}`;
}

/** Each moved disk's way; a kept chain's images each have their own, the lowest first. A copied disk whose pool does not stand is left out: the checks name it. */
export const planDisks = (question: DiskQuestion): DiskPlan[] =>
  movedDisks(question.vm).flatMap((disk): DiskPlan[] => {
    const proof = sharedProof(disk, question);
    if (proof !== undefined) return [planShared(disk, question, proof)];
    const images = copiesOf(disk, question);
    return images.flatMap((image, index) => planCopy(image, question, images[index - 1]));
  });

function planShared(disk: VmDisk, { seen }: DiskQuestion, proof: SharedProof): DiskPlan {
  const format = formatOf(disk.format);
  // Without a nonce the definition stays as it is, so the target opens what it names.
  const here = seen[disk.name] ?? disk;
  return {
    ...common(disk),
    targetPool: '',
    targetVolume: '',
    targetPath: here.path,
    targetFormat: format,
    targetKind: here.kind === 'none' ? 'file' : here.kind,
    ...(here.network === undefined ? {} : { targetNetwork: here.network }),
    how: 'shared',
    proof,
    allocation: 'thin',
  };
}

function planCopy(disk: VmDisk, question: DiskQuestion, below: VmDisk | undefined): DiskPlan[] {
  const pool = poolFor(disk, question);
  const kind = pool === undefined ? undefined : poolKind(pool);
  if (pool === undefined || kind === undefined) return [];
  const targetFormat = targetFormatFor(disk, question);
  const targetVolume = volumeNameFor(disk, { vm: question.vm, format: targetFormat });
  return [
    {
      ...common(disk),
      targetPool: pool.name,
      targetVolume,
      targetPath: kind === 'file' ? `${pool.path}/${targetVolume}` : '',
      targetFormat,
      targetKind: kind,
      how: 'copy',
      // An image with room of its own for everything would hide what it lies on.
      allocation: below === undefined ? (question.request.allocation ?? 'thin') : 'thin',
      ...(below === undefined ? {} : { liesOn: below.name }),
    },
  ];
}

const common = (disk: VmDisk) => ({
  name: disk.name,
  sourcePath: disk.path,
  sourceFormat: formatOf(disk.format),
  sourceKind: disk.kind === 'none' ? ('file' as const) : disk.kind,
  ...(disk.network === undefined ? {} : { sourceNetwork: disk.network }),
  capacityBytes: disk.capacityBytes,
  // An image that others lie on may be some other VM's as well.
  exclusive: !disk.readonly && !disk.shareable && !isBelow(disk.name),
});
