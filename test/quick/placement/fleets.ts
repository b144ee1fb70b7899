import type { PlacementHost, PlacementPool } from '../../../domain/placement/host.ts';
import type { PlacementVm } from '../../../domain/placement/vm.ts';

export const gibibyte = 1024 ** 3;

export const pool = (changes: Partial<PlacementPool> = {}): PlacementPool => ({
  name: 'default',
  type: 'dir',
  active: true,
  path: '/images',
  capacityBytes: 200 * gibibyte,
  availableBytes: 100 * gibibyte,
  ...changes,
});

/** A host that takes the VM below. */
export const host = (name: string, changes: Partial<PlacementHost> = {}): PlacementHost => ({
  name,
  hostUuid: `uuid-of-${name}`,
  enabled: true,
  draining: false,
  labels: {},
  arch: 'x86_64',
  machines: ['kvm/x86_64/q35'],
  cpus: 8,
  vcpuRatio: 4,
  memoryBytes: 64 * gibibyte,
  freeMemoryBytes: 32 * gibibyte,
  pools: [pool()],
  networks: ['default'],
  bridges: ['br0'],
  runningVms: 3,
  runningVcpus: 6,
  movesIn: { underWay: 0, limit: 2 },
  movesOut: { underWay: 0, limit: 2 },
  groups: {},
  reservations: [],
  ...changes,
});

export const vm = (changes: Partial<PlacementVm> = {}): PlacementVm => ({
  name: 'web',
  vcpus: 2,
  memoryBytes: 4 * gibibyte,
  domainType: 'kvm',
  arch: 'x86_64',
  machine: 'q35',
  disks: [{ name: 'vda', bytes: 10 * gibibyte, pool: 'default', shared: false }],
  nics: [{ kind: 'bridge', sourceName: 'br0' }],
  requiredLabels: {},
  rules: [],
  ...changes,
});
