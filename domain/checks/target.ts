import type { Concern } from '../concerns.ts';
import type { HostFacts, PoolFacts } from '../host.ts';
import type { MoveRequest } from '../move.ts';
import type { OwnerState } from '../ownership.ts';
import type { VmDisk, VmFacts, VmHostFile } from '../vm.ts';
import { hookNotLive, movedDisks } from './source.ts';

export interface TargetView {
  vm: VmFacts;
  request: Pick<MoveRequest, 'autoStart' | 'targetPool'>;
  target: HostFacts;
  sourceHostUuid: string;
  ledger?: { state: OwnerState; note: string };
  /** Which of the VM's host files and CD images do not exist on the target. */
  missingFiles: readonly string[];
  /** Volumes that already exist on the target, `pool/volume`. */
  existingVolumes: readonly string[];
}

/** Where one disk goes; undefined where no pool fits. */
export const poolFor = (
  disk: VmDisk,
  { request, target }: Pick<TargetView, 'request' | 'target'>,
): PoolFacts | undefined => {
  const wanted = request.targetPool === '' ? disk.pool : request.targetPool;
  return target.pools.find(({ name }) => name === wanted);
};

/** The volume's name on the target: as on the source. */
export const volumeNameFor = (disk: VmDisk): string =>
  disk.path.slice(disk.path.lastIndexOf('/') + 1);

/** Pool types whose volumes are files that a copy can write. */
const filePools = ['dir', 'fs', 'netfs'];

/** Room that stays free beyond the data: journals, file system overhead. */
const reserveBytes = 64 * 1024 * 1024;

/** Everything on the target that speaks against a cold move. */
export function targetConcerns(view: TargetView): Concern[] {
  return [
    ...ownershipConcerns(view),
    ...collisionConcerns(view),
    ...networkConcerns(view),
    ...storageConcerns(view),
    ...fitConcerns(view),
  ];
}

const critical = (host: string, code: string, message: string, remedy: string): Concern => ({
  code,
  level: 'critical',
  message,
  remedy,
  host,
});

function ownershipConcerns({ vm, target, sourceHostUuid, ledger }: TargetView): Concern[] {
  const found: Concern[] = [];
  if (target.hostUuid === sourceHostUuid) {
    found.push(
      critical(
        target.name,
        'same-host',
        `${vm.host} and ${target.name} are the same machine (host UUID ${sourceHostUuid})`,
        'Name another host with --to. If they are two machines, give each libvirtd its own host_uuid.',
      ),
    );
  }
  if (!target.guard.hookLive) found.push(hookNotLive(target.name, target.guard.detail));
  if (ledger !== undefined && ledger.state !== 'released') {
    found.push(
      critical(
        target.name,
        'ownership-conflict',
        `the ledger of ${target.name} already says ${ledger.state} for ${vm.name}${ledger.note === '' ? '' : ` (${ledger.note})`}`,
        `Find out which host really runs ${vm.name}; \`vmferry doctor\` on both shows their ledgers.`,
      ),
    );
  }
  return found;
}

function collisionConcerns({ vm, target }: TargetView): Concern[] {
  const found: Concern[] = [];
  const macs = new Set(vm.nics.map(({ mac }) => mac.toLowerCase()));
  for (const other of target.vms) {
    if (other.uuid === vm.uuid) {
      found.push(
        critical(
          target.name,
          'uuid-taken',
          `${target.name} already has a VM with the UUID ${vm.uuid}: ${other.name}`,
          `If it is a left-over copy, undefine it there: virsh undefine ${other.name}`,
        ),
      );
      continue;
    }
    if (other.name === vm.name) {
      found.push(
        critical(
          target.name,
          'name-taken',
          `${target.name} already has another VM named ${vm.name} (${other.uuid})`,
          `Rename one of them: virsh domrename ${vm.name} NEW-NAME`,
        ),
      );
    }
    const mac = other.macs.find((one) => macs.has(one.toLowerCase()));
    if (mac !== undefined) {
      found.push(
        critical(
          target.name,
          'mac-taken',
          `VM ${other.name} on ${target.name} already has the MAC address ${mac} of ${vm.name}`,
          'Give one of them another MAC address: virsh edit.',
        ),
      );
    }
  }
  return found;
}

function networkConcerns({ vm, target }: TargetView): Concern[] {
  return vm.nics.flatMap(({ kind, sourceName, mac }): Concern[] => {
    if (kind === 'bridge' && !target.bridges.includes(sourceName)) {
      return [
        critical(
          target.name,
          'bridge-missing',
          `${target.name} has no bridge ${sourceName}, which the interface ${mac} of ${vm.name} needs`,
          `Create the bridge on ${target.name}, or change the interface before the move.`,
        ),
      ];
    }
    if (kind === 'network' && !target.networks.includes(sourceName)) {
      return [
        critical(
          target.name,
          'network-missing',
          `${target.name} has no active libvirt network ${sourceName}, which the interface ${mac} of ${vm.name} needs`,
          `Define and start it on ${target.name}: virsh net-start ${sourceName}`,
        ),
      ];
    }
    if (kind === 'other') {
      return [
        critical(
          target.name,
          'interface-unsupported',
          `the interface ${mac} of ${vm.name} is neither on a bridge nor on a libvirt network`,
          'Attach it to a bridge or a network before the move.',
        ),
      ];
    }
    return [];
  });
}

function storageConcerns(view: TargetView): Concern[] {
  const { vm, target, request, existingVolumes } = view;
  const found: Concern[] = [];
  const needs = new Map<PoolFacts, { data: number; capacity: number }>();
  const planned = new Set<string>();
  for (const disk of movedDisks(vm)) {
    const pool = poolFor(disk, view);
    if (pool === undefined) {
      const wanted = request.targetPool === '' ? (disk.pool ?? '') : request.targetPool;
      found.push(poolMissing({ disk, vm, target, wanted }));
      continue;
    }
    if (!pool.active || !filePools.includes(pool.type)) {
      found.push(
        critical(
          target.name,
          'pool-unusable',
          `pool ${pool.name} of ${target.name} is ${pool.active ? `of type ${pool.type}` : 'not active'}`,
          pool.active
            ? 'Name a directory pool with --pool.'
            : `Start it: virsh pool-start ${pool.name}`,
        ),
      );
      continue;
    }
    const volume = `${pool.name}/${volumeNameFor(disk)}`;
    if (planned.has(volume)) {
      found.push(
        critical(
          target.name,
          'volume-name-clash',
          `two disks of ${vm.name} would go to the same volume ${volume} of ${target.name}`,
          'Rename one of the two images, or move it to a pool of its own.',
        ),
      );
    }
    planned.add(volume);
    if (existingVolumes.includes(volume)) {
      found.push(
        critical(
          target.name,
          'volume-exists',
          `${target.name} already has a volume ${volume}, where disk ${disk.name} of ${vm.name} would go`,
          'If nothing needs it, delete it there; else name another pool with --pool.',
        ),
      );
    }
    const sum = needs.get(pool) ?? { data: 0, capacity: 0 };
    sum.data += Math.min(disk.allocationBytes, disk.capacityBytes);
    sum.capacity += disk.capacityBytes;
    needs.set(pool, sum);
  }
  return [...found, ...[...needs].flatMap(([pool, sum]) => roomConcerns(target.name, pool, sum))];
}

function poolMissing(at: {
  disk: VmDisk;
  vm: VmFacts;
  target: HostFacts;
  wanted: string;
}): Concern {
  const { disk, vm, target, wanted } = at;
  // libvirt lists them in any order.
  const pools = target.pools
    .map(({ name }) => name)
    .sort()
    .join(', ');
  const message =
    wanted === ''
      ? `disk ${disk.name} of ${vm.name} (${disk.path}) lies in no libvirt pool on ${vm.host}, so none is meant on ${target.name}`
      : `${target.name} has no pool ${wanted} for disk ${disk.name} of ${vm.name}`;
  return critical(
    target.name,
    'pool-missing',
    message,
    `Name one with --pool; ${target.name} has: ${pools === '' ? 'none' : pools}.`,
  );
}

function roomConcerns(
  host: string,
  pool: PoolFacts,
  sum: { data: number; capacity: number },
): Concern[] {
  const needed = sum.data + reserveBytes;
  if (needed > pool.availableBytes) {
    return [
      critical(
        host,
        'too-little-room',
        `pool ${pool.name} of ${host} has ${mib(pool.availableBytes)} free; the disks need ${mib(needed)}`,
        'Free room there, or name another pool with --pool.',
      ),
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

const mib = (bytes: number): string => `${Math.ceil(bytes / 1048576)} MiB`;

function fitConcerns({ vm, target, missingFiles }: TargetView): Concern[] {
  const found: Concern[] = [];
  const machine = `${vm.domainType}/${vm.arch}/${vm.machine}`;
  if (vm.machine !== '' && !target.machines.includes(machine)) {
    found.push(
      critical(
        target.name,
        'machine-unsupported',
        `${target.name} cannot run ${vm.name}: it has no emulator for ${machine}`,
        `Install the emulator of that architecture there, or change <type machine=...> of ${vm.name}.`,
      ),
    );
  }
  for (const path of missingFiles) {
    found.push(
      critical(
        target.name,
        'host-file-missing',
        `${target.name} has no file ${path}, which ${vm.name} needs to start`,
        `Put the file there, or take it out of the definition (for a CD: virsh change-media ${vm.name} --eject).`,
      ),
    );
  }
  if (vm.memoryBytes > target.memoryBytes) {
    found.push(
      critical(
        target.name,
        'too-little-memory',
        `${vm.name} has ${mib(vm.memoryBytes)} of memory, ${target.name} only ${mib(target.memoryBytes)} in all`,
        'Choose a bigger host, or give the VM less memory.',
      ),
    );
  } else if (vm.memoryBytes > target.freeMemoryBytes) {
    found.push({
      code: 'memory-tight',
      level: 'warning',
      message: `${target.name} has ${mib(target.freeMemoryBytes)} of memory free now; ${vm.name} wants ${mib(vm.memoryBytes)}`,
      remedy: 'It may still start, by swapping; free memory there if it does not.',
      host: target.name,
    });
  }
  return found;
}

/** The files that have to exist on the target for the VM to start there. */
export const neededFiles = (vm: VmFacts): VmHostFile[] => [
  ...vm.hostFiles.filter(({ role }) => role !== 'nvram'),
  ...vm.disks
    .filter(({ device, kind, path }) => device !== 'disk' && kind === 'file' && path !== '')
    .map(({ path }): VmHostFile => ({ role: 'other', path })),
];
