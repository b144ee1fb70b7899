/** What imports will take of their targets, against what is there: shown to a person before a yes. */
import type { ForeignVm } from '../foreign.ts';
import type { HostFacts } from '../host.ts';
import type { ImportPlan, ImportRequest } from '../import.ts';
import { newHost } from '../hosts/state.ts';
import { takenBytes } from './disks.ts';
import { marginBytes } from './limits.ts';
import { isOff } from './mode.ts';

/** An import with its plan. */
export interface PlannedImport {
  vm: ForeignVm;
  request: Pick<ImportRequest, 'to' | 'autoStart'>;
  plan: ImportPlan;
}

/** A host with what only its standing in the fleet tells. */
export interface UseTarget extends Pick<
  HostFacts,
  'name' | 'cpus' | 'memoryBytes' | 'freeMemoryBytes' | 'pools'
> {
  /** vCPUs of what runs there; 0 if not known. */
  runningVcpus?: number;
  /** vCPUs that may run for each CPU; as for a new host if absent. */
  vcpuRatio?: number;
}

/** One line of the table. CPUs and addresses are counted, the rest is in bytes. */
export interface UseLine {
  host: string;
  what: 'cpus' | 'memory' | 'storage' | 'addresses';
  /** The pool or the network; empty for CPUs and memory. */
  of: string;
  /** Once the imports are done: data as far as the source tells, and what is started by them. */
  wanted: number;
  /** Once all of it runs and every disk is full. */
  wantedMost: number;
  /** What the host has for it now. Absent where nobody knows, as for addresses. */
  available?: number;
  /** Absent where nobody knows. */
  fits?: boolean;
}

/** Whether the import itself starts the VM: one that ran is always started, a clone never. */
const isStarted = ({ vm, request, plan }: PlannedImport): boolean =>
  !plan.clone && (request.autoStart || !isOff(vm));

/**
 * The sums, host by host in the order of `targets`: CPUs, memory, then pools and networks by name. A plan for a host
 * that is not among them is not counted.
 */
export const expectedUse = (
  imports: readonly PlannedImport[],
  targets: readonly UseTarget[],
): UseLine[] =>
  targets.flatMap((target) => {
    const here = imports.filter(({ request }) => request.to === target.name);
    if (here.length === 0) return [];
    return [
      cpuLine(here, target),
      memoryLine(here, target),
      ...storageLines(here, target),
      ...addressLines(here, target),
    ];
  });

const sumOf = (imports: readonly PlannedImport[], each: (plan: ImportPlan) => number): number =>
  imports.reduce((sum, { plan }) => sum + each(plan), 0);

function cpuLine(here: readonly PlannedImport[], target: UseTarget): UseLine {
  const { vcpuRatio = newHost.settings.vcpuRatio, runningVcpus = 0 } = target;
  const available = Math.max(0, Math.floor(target.cpus * vcpuRatio) - runningVcpus);
  const cpus = ({ cpus: each }: ImportPlan): number => each;
  const wanted = sumOf(here.filter(isStarted), cpus);
  const wantedMost = sumOf(here, cpus);
  // No VM wider than its host, whatever the ratio.
  const fits = wanted <= available && here.every(({ plan }) => plan.cpus <= target.cpus);
  return { host: target.name, what: 'cpus', of: '', wanted, wantedMost, available, fits };
}

function memoryLine(here: readonly PlannedImport[], target: UseTarget): UseLine {
  const memory = ({ memoryBytes }: ImportPlan): number => memoryBytes;
  const wanted = sumOf(here.filter(isStarted), memory);
  const wantedMost = sumOf(here, memory);
  const available = target.freeMemoryBytes;
  const fits =
    wanted <= available && here.every(({ plan }) => plan.memoryBytes <= target.memoryBytes);
  return { host: target.name, what: 'memory', of: '', wanted, wantedMost, available, fits };
}

function storageLines(here: readonly PlannedImport[], target: UseTarget): UseLine[] {
  const pools = new Map<string, { wanted: number; wantedMost: number }>();
  for (const { vm, plan } of here) {
    for (const { key, targetPool, targetKind, capacityBytes } of plan.disks) {
      const disk = vm.disks.find((one) => one.key === key);
      const sum = pools.get(targetPool) ?? { wanted: 0, wantedMost: 0 };
      sum.wanted += disk === undefined ? capacityBytes : takenBytes(disk, targetKind);
      sum.wantedMost += capacityBytes;
      pools.set(targetPool, sum);
    }
  }
  return [...pools].sort(byKey).map(([of, { wanted, wantedMost }]): UseLine => {
    const pool = target.pools.find(({ name }) => name === of);
    const line = { host: target.name, what: 'storage', of, wanted, wantedMost } as const;
    if (pool === undefined) return { ...line, available: 0, fits: false };
    const available = Math.max(0, pool.availableBytes - marginBytes);
    return { ...line, available, fits: wanted <= available };
  });
}

/** An address for each card: nobody here knows how many a network has left. */
function addressLines(here: readonly PlannedImport[], { name: host }: UseTarget): UseLine[] {
  const networks = new Map<string, { wanted: number; wantedMost: number }>();
  for (const each of here) {
    for (const { network } of each.plan.nics) {
      const sum = networks.get(network) ?? { wanted: 0, wantedMost: 0 };
      sum.wanted += isStarted(each) ? 1 : 0;
      sum.wantedMost += 1;
      networks.set(network, sum);
    }
  }
  return [...networks]
    .sort(byKey)
    .map(([of, sums]): UseLine => ({ host, what: 'addresses', of, ...sums }));
}

const byKey = ([one]: [string, unknown], [other]: [string, unknown]): number =>
  one < other ? -1 : Number(one > other);
