/** Which disks of a foreign VM come along, and where each goes. */
import { poolKind } from '../disk-plan.ts';
import type { ForeignDisk, ForeignVm } from '../foreign.ts';
import type { HostFacts, PoolFacts } from '../host.ts';
import type { ImportBus, ImportRequest, ImportShape, ImportStorage } from '../import.ts';
import type { PlaceKind } from '../vm.ts';
import { volumeBase } from './names.ts';

type Disks = Pick<ForeignVm, 'disks'>;

/** The first that says so, else the first; undefined if there is none. */
export const bootDisk = ({ disks }: Disks): ForeignDisk | undefined =>
  disks.find(({ boot }) => boot === true) ?? disks[0];

/**
 * The disks that come, the boot disk first and always. Others that are marked for it come next, the rest in their order:
 * `convert/target-shape.ts` has the same, and names of disks hang on it.
 */
export function broughtDisks(
  vm: Disks,
  { disks: wanted }: Pick<ImportShape, 'disks'>,
): ForeignDisk[] {
  const first = bootDisk(vm);
  return vm.disks
    .filter((disk) => disk === first || wanted === undefined || wanted.includes(disk.key))
    .toSorted((one, other) => Number(other.boot ?? false) - Number(one.boot ?? false));
}

/** Those that do not. */
export function staysBehind(vm: Disks, shape: Pick<ImportShape, 'disks'>): ForeignDisk[] {
  const brought = new Set(broughtDisks(vm, shape));
  return vm.disks.filter((disk) => !brought.has(disk));
}

/** Bytes that a thin copy of a disk takes, as far as the source tells. */
export const expectedBytes = ({
  allocationBytes,
  capacityBytes,
}: Pick<ForeignDisk, 'allocationBytes' | 'capacityBytes'>): number =>
  allocationBytes > 0 ? Math.min(allocationBytes, capacityBytes) : capacityBytes;

/** The name of the pool that a disk is to go to; empty if none was named. */
export const poolNameFor = ({ key }: Pick<ForeignDisk, 'key'>, storage: ImportStorage): string => {
  const byDisk = storage.byDisk ?? {};
  // A foreign key may be called like something that every object has.
  return Object.hasOwn(byDisk, key) ? (byDisk[key] ?? '') : storage.pool;
};

/** One disk's place on the target, or why it has none. */
export type DiskFit =
  { pool: PoolFacts; kind: PlaceKind } | 'unmapped' | 'missing' | 'unusable' | 'format-unfit';

export function diskFit(
  disk: Pick<ForeignDisk, 'key'>,
  storage: ImportStorage,
  { pools }: Pick<HostFacts, 'pools'>,
): DiskFit {
  const wanted = poolNameFor(disk, storage);
  if (wanted === '') return 'unmapped';
  const pool = pools.find(({ name }) => name === wanted);
  if (pool === undefined) return 'missing';
  const kind = poolKind(pool);
  if (!pool.active || kind === undefined) return 'unusable';
  return kind !== 'file' && storage.format !== 'raw' ? 'format-unfit' : { pool, kind };
}

/** Bytes that a disk takes in its pool at first: a device has all its room at once. */
export const takenBytes = (disk: ForeignDisk, kind: PlaceKind): number =>
  kind === 'block' ? disk.capacityBytes : expectedBytes(disk);

/** The volume of the disk at `index`, of the order in which they come: as was asked for, else after the VM. */
export function volumeName(
  { vm, key, index }: { vm: string; key: string; index: number },
  { shape, storage }: Pick<ImportRequest, 'shape' | 'storage'>,
): string {
  const wish = shape.volumes?.find((one) => one.key === key);
  return `${wish?.name ?? `${volumeBase(vm)}-${index}`}.${storage.format}`;
}

/** Why volumes cannot be called as was asked for, each a clause; none if they can. */
export function volumeTroubles(vm: ForeignVm, { shape }: Pick<ImportRequest, 'shape'>): string[] {
  const wishes = shape.volumes ?? [];
  const keys = broughtDisks(vm, shape).map(({ key }) => key);
  const names = wishes.map(({ name }) => name);
  return wishes.flatMap(({ key, name }, index) => {
    const disk = `disk ${JSON.stringify(key.slice(0, 100))}`;
    const called = JSON.stringify(name.slice(0, 100));
    if (!keys.includes(key)) return [`${vm.name} brings no ${disk}`];
    if (wishes.findIndex((one) => one.key === key) !== index)
      return [`${disk} of ${vm.name} is named twice`];
    if (names.indexOf(name) !== index) return [`two disks of ${vm.name} would be called ${called}`];
    return volumeBase(name) === name ? [] : [`no volume can be called ${called}`];
  });
}

const prefixes: Readonly<Record<ImportBus, string>> = {
  'virtio-scsi': 'sd',
  'virtio-blk': 'vd',
  sata: 'sd',
  ide: 'hd',
};

/** The disk's name in the definition: `sda`, `vdb`, `sdaa`. */
export function diskName(bus: ImportBus, index: number): string {
  let letters = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    letters = String.fromCodePoint(97 + (rest % 26)) + letters;
  }
  return `${prefixes[bus]}${letters}`;
}

/** A VM's disks on their pools; those without a place are left out, and for the rules to name. */
export const placedDisks = (
  vm: ForeignVm,
  { shape, storage }: Pick<ImportRequest, 'shape' | 'storage'>,
  target: Pick<HostFacts, 'pools'>,
): { disk: ForeignDisk; index: number; pool: PoolFacts; kind: PlaceKind }[] =>
  broughtDisks(vm, shape).flatMap((disk, index) => {
    const fit = diskFit(disk, storage, target);
    return typeof fit === 'string' ? [] : [{ disk, index, ...fit }];
  });
