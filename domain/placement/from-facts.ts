import { movedDisks, wantedPool } from '../disk-plan.ts';
import type { HostFacts } from '../host.ts';
import type { MoveRequest } from '../move.ts';
import type { VmFacts } from '../vm.ts';
import type { PlacementHost } from './host.ts';
import type { PlacementVm } from './vm.ts';

/** What no daemon knows of a host: what people set, what moves count, and which groups its VMs belong to. */
export type HostStanding = Omit<
  PlacementHost,
  keyof HostFacts | 'pools' | 'runningVms' | 'cpuModels' | 'firmwares'
> &
  Pick<Partial<PlacementHost>, 'cpuModels' | 'firmwares'> & {
    /** By pool: the name of the storage below, for pools that share their room. */
    stores?: Readonly<Record<string, string>>;
  };

/** A host for placement, from its facts and its standing. */
export function placementHostOf(facts: HostFacts, standing: HostStanding): PlacementHost {
  const { stores, ...rest } = standing;
  return {
    name: facts.name,
    hostUuid: facts.hostUuid,
    arch: facts.arch,
    machines: facts.machines,
    cpus: facts.cpus,
    memoryBytes: facts.memoryBytes,
    freeMemoryBytes: facts.freeMemoryBytes,
    networks: facts.networks,
    bridges: facts.bridges,
    pools: facts.pools.map((pool) => {
      const store = stores?.[pool.name];
      return store === undefined ? pool : { ...pool, store };
    }),
    runningVms: facts.vms.filter(({ running }) => running).length,
    ...rest,
  };
}

export interface VmWishes {
  request: Pick<MoveRequest, 'targetPool' | 'disks' | 'allocation'>;
  /** Names of the disks that lie on storage which the hosts share. */
  shared?: readonly string[];
  cpuModel?: string;
  firmware?: PlacementVm['firmware'];
  requiredLabels?: PlacementVm['requiredLabels'];
  rules?: PlacementVm['rules'];
}

/** A VM for placement, from its facts and the move that was asked for. */
export function placementVmOf(vm: VmFacts, wishes: VmWishes): PlacementVm {
  const { request, shared = [], requiredLabels = {}, rules = [], cpuModel, firmware } = wishes;
  return {
    name: vm.name,
    host: vm.host,
    vcpus: vm.vcpus,
    memoryBytes: vm.memoryBytes,
    domainType: vm.domainType,
    arch: vm.arch,
    machine: vm.machine,
    disks: movedDisks(vm).map((disk) => {
      const isShared = shared.includes(disk.name);
      const thinBytes = disk.allocationBytes || disk.capacityBytes;
      return {
        name: disk.name,
        bytes: request.allocation === 'full' ? disk.capacityBytes : thinBytes,
        pool: isShared ? (disk.pool ?? '') : wantedPool(disk, request),
        shared: isShared,
      };
    }),
    nics: vm.nics,
    requiredLabels,
    rules,
    ...(cpuModel !== undefined && { cpuModel }),
    ...(firmware !== undefined && { firmware }),
  };
}
