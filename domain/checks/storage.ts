import { isBelow } from '../chain.ts';
import type { Concern } from '../concerns.ts';
import {
  chainWish,
  copiesOf,
  movedDisks,
  poolFor,
  poolKind,
  sharedProof,
  targetFormatFor,
  volumeNameFor,
  wantedPool,
} from '../disk-plan.ts';
import type { DiskQuestion } from '../disk-plan.ts';
import type { HostFacts, PoolFacts } from '../host.ts';
import type { VmDisk } from '../vm.ts';

export interface StorageView extends DiskQuestion {
  target: HostFacts;
  /** Volumes that already exist on the target, `pool/volume`. */
  existingVolumes: readonly string[];
}

/** Room that stays free beyond the data: journals, file system overhead. */
const reserveBytes = 64 * 1024 * 1024;

/** What speaks against each disk's way to the target, and against all of them together. */
export function storageConcerns(view: StorageView): Concern[] {
  const disks = movedDisks(view.vm);
  const copied = disks.filter((disk) => sharedProof(disk, view) === undefined);
  return [
    ...wordConcerns(view, disks),
    ...disks.filter((disk) => !copied.includes(disk)).flatMap((disk) => sharedConcerns(view, disk)),
    ...copied.flatMap((disk) => copyConcerns(view, disk)),
    ...placeConcerns(
      view,
      copied.flatMap((disk) => copiesOf(disk, view)),
    ),
    ...snapshotConcerns(view, copied),
  ];
}

type Found = Omit<Concern, 'host' | 'level'>;
const critical = (view: StorageView, found: Found): Concern => ({
  ...found,
  level: 'critical',
  host: view.target.name,
});

/** Words of the request that name what is not there. */
function wordConcerns(view: StorageView, disks: readonly VmDisk[]): Concern[] {
  const { request, vm } = view;
  const names = disks.map(({ name }) => name);
  const said = [...(request.sharedDisks ?? []), ...Object.keys(request.disks ?? {})];
  return [...new Set(said)]
    .filter((name) => !names.includes(name))
    .map((name) =>
      critical(view, {
        code: 'disk-unknown',
        message: `${vm.name} has no disk ${name} that a move would take; it has ${names.length === 0 ? 'none' : names.join(', ')}`,
        remedy: 'Correct --disk or --shared-disk.',
      }),
    );
}

function sharedConcerns(view: StorageView, disk: VmDisk): Concern[] {
  const { vm, target } = view;
  const path = view.seen[disk.name]?.path ?? disk.path;
  const other = target.vms.find(
    ({ uuid, diskPaths }) => uuid !== vm.uuid && diskPaths.includes(path),
  );
  const found: Concern[] = [];
  if (other !== undefined && !disk.readonly && !disk.shareable) {
    found.push(
      critical(view, {
        code: 'disk-in-use',
        message: `disk ${disk.name} of ${vm.name} (${path}) also belongs to VM ${other.name} on ${target.name}${other.running ? ', which runs' : ''}`,
        remedy: `Detach it from ${other.name} first.`,
      }),
    );
  }
  if (view.seen[disk.name] !== undefined) return found;
  return [
    ...found,
    {
      code: 'shared-by-word',
      level: 'warning',
      message: `disk ${disk.name} of ${vm.name} (${disk.path}) is shared by your word; ${vm.host} and ${target.name} compare all of it once ${vm.name} is down`,
      remedy: 'Nothing to do; the downtime grows by the time of reading it once.',
      host: target.name,
    },
  ];
}

function copyConcerns(view: StorageView, disk: VmDisk): Concern[] {
  const { vm, target, request } = view;
  const found: Concern[] = [];
  if (request.storage === 'shared') {
    found.push(
      critical(view, {
        code: 'storage-not-shared',
        message: `${target.name} does not see disk ${disk.name} of ${vm.name} (${disk.path}), and --storage shared forbids to copy it`,
        remedy: `Mount the same storage at the same path on both hosts, say --shared-disk ${disk.name} if it is a device that both see, or let it be copied with --storage auto.`,
      }),
    );
  }
  if (disk.shareable) {
    found.push(
      critical(view, {
        code: 'disk-shared',
        message: `disk ${disk.name} of ${vm.name} is marked shareable: other guests may write it during the copy`,
        remedy:
          'Detach it from the VM, or remove <shareable/>; on storage that both hosts see it can stay.',
      }),
    );
  }
  if (disk.encrypted === true && (disk.format !== 'raw' || targetFormatFor(disk, view) !== 'raw')) {
    found.push(
      critical(view, {
        code: 'disk-encrypted',
        message: `disk ${disk.name} of ${vm.name} is encrypted inside a qcow2 image, which cannot be copied`,
        remedy: 'Use storage that both hosts see, or a raw LUKS image, which crosses as it is.',
      }),
    );
  }
  return [...found, ...chainConcerns(view, disk)];
}

/** What becomes of the images below a copied disk. */
function chainConcerns(view: StorageView, disk: VmDisk): Concern[] {
  const { vm } = view;
  const { length } = disk.backing;
  if (length === 0) return [];
  const what = `disk ${disk.name} of ${vm.name} lies on ${length === 1 ? 'a backing image' : `${length} backing images`}`;
  const { keep, trouble } = chainWish(disk, view);
  if (trouble !== undefined) {
    return [
      critical(view, {
        code: 'chain-cannot-be-kept',
        message: `${what}, and the chain cannot arrive as it is: ${trouble}`,
        remedy: 'Leave out --chain keep: then the copy is one image with all of it.',
      }),
    ];
  }
  return [
    {
      level: 'information',
      host: vm.host,
      ...(keep
        ? {
            code: 'chain-kept',
            message: `${what}; each image is copied, and the copies lie on each other likewise`,
            remedy: `Nothing to do; a commit leaves the backing images on ${vm.host} where they are.`,
          }
        : {
            code: 'chain-flattened',
            message: `${what}; the copy holds all of it in one image`,
            remedy: 'Nothing to do; the backing images stay where they are.',
          }),
    },
  ];
}

/** Pools: there, fit, with room, and no two disks in one place. */
function placeConcerns(view: StorageView, copied: readonly VmDisk[]): Concern[] {
  const { vm, target, existingVolumes, request } = view;
  const found: Concern[] = [];
  const needs = new Map<PoolFacts, { data: number; capacity: number }>();
  const planned = new Set<string>();
  for (const disk of copied) {
    const pool = poolFor(disk, view);
    const unusable = pool === undefined ? poolMissing(view, disk) : unusablePool(view, disk, pool);
    if (pool === undefined || unusable !== undefined) {
      // Told once of a chain, whose images all go to one pool.
      if (unusable !== undefined && !isBelow(disk.name)) found.push(unusable);
      continue;
    }
    const format = targetFormatFor(disk, view);
    const volume = `${pool.name}/${volumeNameFor(disk, { vm, format })}`;
    if (planned.has(volume)) {
      found.push(
        critical(view, {
          code: 'volume-name-clash',
          message: `two disks of ${vm.name} would go to the same volume ${volume} of ${target.name}`,
          remedy:
            'Rename one of the two images, or move it to a pool of its own: --disk NAME:pool=POOL.',
        }),
      );
    }
    planned.add(volume);
    if (existingVolumes.includes(volume)) {
      found.push(
        critical(view, {
          code: 'volume-exists',
          message: `${target.name} already has a volume ${volume}, where disk ${disk.name} of ${vm.name} would go`,
          remedy: 'If nothing needs it, delete it there; else name another pool with --pool.',
        }),
      );
    }
    const sum = needs.get(pool) ?? { data: 0, capacity: 0 };
    const isThin = poolKind(pool) !== 'block' && request.allocation !== 'full';
    sum.data += isThin ? Math.min(disk.allocationBytes, disk.capacityBytes) : disk.capacityBytes;
    sum.capacity += disk.capacityBytes;
    needs.set(pool, sum);
  }
  return [...found, ...[...needs].flatMap(([pool, sum]) => roomConcerns(target.name, pool, sum))];
}

function unusablePool(view: StorageView, disk: VmDisk, pool: PoolFacts): Concern | undefined {
  const { target } = view;
  const kind = poolKind(pool);
  if (!pool.active || kind === undefined) {
    return critical(view, {
      code: 'pool-unusable',
      message: `pool ${pool.name} of ${target.name} is ${pool.active ? `of type ${pool.type}` : 'not active'}`,
      remedy: pool.active
        ? 'Name a pool of type dir, fs, netfs, logical or rbd with --pool.'
        : `Start it: virsh pool-start ${pool.name}`,
    });
  }
  if (kind === 'file' || targetFormatFor(disk, view) === 'raw') return undefined;
  return critical(view, {
    code: 'format-unfit',
    message: `pool ${pool.name} of ${target.name} holds ${pool.type === 'rbd' ? 'RBD images' : 'devices'}, which are made raw; disk ${disk.name} cannot become qcow2 there`,
    remedy: `Leave out --format, or say --disk ${disk.name}:format=raw.`,
  });
}

function poolMissing(view: StorageView, disk: VmDisk): Concern {
  const { vm, target, request } = view;
  const wanted = wantedPool(disk, request);
  // libvirt lists them in any order.
  const pools = target.pools
    .map(({ name }) => name)
    .sort()
    .join(', ');
  const message =
    wanted === ''
      ? `disk ${disk.name} of ${vm.name} (${disk.path}) lies in no libvirt pool on ${vm.host}, so none is meant on ${target.name}`
      : `${target.name} has no pool ${wanted} for disk ${disk.name} of ${vm.name}`;
  const shared =
    disk.kind === 'file'
      ? ''
      : ` If both hosts see this very disk, say --shared-disk ${disk.name}.`;
  return critical(view, {
    code: 'pool-missing',
    message,
    remedy: `Name one with --pool; ${target.name} has: ${pools === '' ? 'none' : pools}.${shared}`,
  });
}

function roomConcerns(
  host: string,
  pool: PoolFacts,
  sum: { data: number; capacity: number },
): Concern[] {
  const needed = sum.data + reserveBytes;
  if (needed > pool.availableBytes) {
    return [
      {
        level: 'critical',
        host,
        code: 'too-little-room',
        message: `pool ${pool.name} of ${host} has ${mib(pool.availableBytes)} free; the disks need ${mib(needed)}`,
        remedy: 'Free room there, or name another pool with --pool.',
      },
    ];
  }
  if (sum.capacity > pool.availableBytes) {
    return [
      {
        code: 'thin',
        level: 'warning',
        message: `pool ${pool.name} of ${host} has room for the data (${mib(needed)}) but not for full disks (${mib(sum.capacity)})`,
        remedy: 'Watch the pool as the guest writes.',
        host,
      },
    ];
  }
  return [];
}

/** Snapshots live inside the images or in files beside them: they stay with disks that stay, and only with them. */
function snapshotConcerns({ vm }: StorageView, copied: readonly VmDisk[]): Concern[] {
  if (vm.snapshots.length === 0) return [];
  const names =
    vm.snapshots.length <= 5
      ? vm.snapshots.join(', ')
      : `${vm.snapshots.slice(0, 5).join(', ')} and ${vm.snapshots.length - 5} more`;
  if (copied.length === 0) {
    return [
      {
        code: 'snapshots-move',
        level: 'information',
        message: `${vm.name} on ${vm.host} has snapshots (${names}); what libvirt knows of them moves too`,
        remedy: 'Nothing to do.',
        host: vm.host,
      },
    ];
  }
  return [
    {
      code: 'snapshots',
      level: 'critical',
      message: `${vm.name} on ${vm.host} has snapshots that would be lost: ${names}`,
      remedy: `Delete them first: virsh snapshot-delete ${vm.name} NAME`,
      host: vm.host,
    },
  ];
}

export const mib = (bytes: number): string => `${Math.ceil(bytes / 1048576)} MiB`;
