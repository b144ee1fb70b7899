import { choose } from '../domain/placement/choose.ts';
import { fleetOf } from '../domain/placement/fleet.ts';
import type { PlacementHost } from '../domain/placement/host.ts';
import { reserve } from '../domain/placement/reserve.ts';
import type { PlacementVm } from '../domain/placement/vm.ts';
import type { BenchGroup } from './benchmark.ts';

const names = { 'placement-10k-seconds': 's' } as const;
const hostCount = 1000;
const vmCount = 10_000;
const gibibyte = 1024 ** 3;
const machines = ['pc-i440fx-7.2', 'pc-q35-7.2', 'pc', 'q35'].map((name) => `kvm/x86_64/${name}`);

/** Hosts of four sizes in twenty racks; a pool of their own each, and one that a rack shares. */
const hostNumber = (number: number): PlacementHost => {
  const size = 1 + (number % 4);
  const rack = number % 20;
  return {
    name: `host-${String(number).padStart(4, '0')}`,
    hostUuid: `uuid-${number}`,
    enabled: number % 50 !== 0,
    draining: number % 70 === 0,
    labels: { rack: `r${rack}`, tier: number % 3 === 0 ? 'gold' : 'silver' },
    arch: 'x86_64',
    machines,
    cpus: 32 * size,
    vcpuRatio: 4,
    memoryBytes: 128 * size * gibibyte,
    freeMemoryBytes: 100 * size * gibibyte,
    pools: [
      { ...poolOf('default', 'dir'), availableBytes: 3000 * gibibyte },
      {
        ...poolOf('rack', 'netfs'),
        availableBytes: 30_000 * gibibyte,
        store: `nfs-${rack}`,
      },
    ],
    networks: ['default', 'storage'],
    bridges: ['br0', `br-${rack % 5}`],
    runningVms: number % 13,
    runningVcpus: 2 * (number % 13),
    movesIn: { underWay: 0, limit: 40 },
    movesOut: { underWay: number % 3, limit: 4 },
    groups: {},
    reservations: [],
  };
};

const poolOf = (name: string, type: string) => ({
  name,
  type,
  active: true,
  path: `/pools/${name}`,
  capacityBytes: 40_000 * gibibyte,
});

/** VMs of five sizes; every other one is of a group that keeps apart, every seventh of one that likes to be near. */
const vmNumber = (number: number): PlacementVm => ({
  name: `vm-${number}`,
  vcpus: 1 + (number % 5),
  memoryBytes: (1 + (number % 5)) * 2 * gibibyte,
  domainType: 'kvm',
  arch: 'x86_64',
  machine: number % 2 === 0 ? 'q35' : 'pc',
  disks: [
    {
      name: 'vda',
      bytes: 20 * gibibyte,
      pool: number % 4 === 0 ? 'rack' : 'default',
      shared: false,
    },
  ],
  nics: [{ kind: 'bridge', sourceName: number % 10 === 0 ? 'br-1' : 'br0' }],
  requiredLabels: number % 6 === 0 ? { tier: 'gold' } : {},
  rules: [
    ...(number % 2 === 0
      ? [{ group: `apart-${number % 500}`, kind: 'anti-affinity', strength: 'hard' } as const]
      : []),
    ...(number % 7 === 0
      ? [{ group: `near-${number % 300}`, kind: 'affinity', strength: 'soft' } as const]
      : []),
  ],
});

/** Places every VM after the one before it, each with its room reserved; seconds. Throws if one finds no host. */
function placeAll(hosts: readonly PlacementHost[], vms: readonly PlacementVm[]): number {
  const start = performance.now();
  let fleet = fleetOf(hosts);
  for (const vm of vms) {
    const host = choose(fleet, vm);
    if (host === undefined) throw new Error(`${vm.name} found no host`);
    fleet = reserve(fleet, vm, { moveId: `move-${vm.name}`, host });
  }
  return (performance.now() - start) / 1000;
}

/** The choice of hosts alone, without a wire: facts and VMs are made up, and made before the clock runs. */
export const placement: BenchGroup = {
  names,
  missing: () => Promise.resolve({}),
  run({ runs, say, signal }, _names, done) {
    say(`${vmCount} VMs on ${hostCount} hosts, one after another, each with its room reserved`);
    const hosts = Array.from({ length: hostCount }, (_, number) => hostNumber(number));
    const vms = Array.from({ length: vmCount }, (_, number) => vmNumber(number));
    // The first run also pays for compiling and is not counted, as for the other figures.
    placeAll(hosts, vms);
    const samples = Array.from({ length: runs }, () => {
      signal.throwIfAborted();
      return { ours: placeAll(hosts, vms) };
    });
    done({ name: 'placement-10k-seconds', unit: names['placement-10k-seconds'], samples });
    return Promise.resolve();
  },
};
