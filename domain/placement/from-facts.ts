import { movedDisks, wantedPool } from '../disk-plan.ts';
import type { MoveRequest } from '../move.ts';
import type { VmFacts } from '../vm.ts';
import type { PlacementVm } from './vm.ts';

export interface VmWishes {
  request: Pick<MoveRequest, 'targetPool' | 'disks' | 'allocation'>;
  /** Names of the disks that lie on storage which the hosts share. */
  shared?: readonly string[];
  cpuModel?: string;
  firmware?: PlacementVm['firmware'];
  requiredLabels?: PlacementVm['requiredLabels'];
  rules?: PlacementVm['rules'];
  /** It is off and stays so: it takes room for its disks only. */
  isOff?: boolean;
}

/** A VM for placement, from its facts and the move that was asked for. */
export function placementVmOf(vm: VmFacts, wishes: VmWishes): PlacementVm {
  const { request, shared = [], requiredLabels = {}, rules = [], cpuModel, firmware } = wishes;
  const { isOff = false } = wishes;
  return {
    name: vm.name,
    host: vm.host,
    vcpus: isOff ? 0 : vm.vcpus,
    memoryBytes: isOff ? 0 : vm.memoryBytes,
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
