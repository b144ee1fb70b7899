import type { HostFacts, MachineFacts } from '../../../domain/host.ts';
import type { VmDisk, VmFacts } from '../../../domain/vm.ts';

export const gibibyte = 1024 ** 3;

export const disk = (changes: Partial<VmDisk> = {}): VmDisk => ({
  name: 'vda',
  device: 'disk',
  kind: 'file',
  path: '/images/web.raw',
  format: 'raw',
  readonly: false,
  shareable: false,
  capacityBytes: 10 * gibibyte,
  allocationBytes: 2 * gibibyte,
  pool: 'default',
  volume: 'web.raw',
  backing: [],
  ...changes,
});

/** A VM that any host takes: off, a disk, a card. */
export const vm = (changes: Partial<VmFacts> = {}): VmFacts => ({
  host: 'alpha',
  uuid: '6f1a2b3c-0000-4000-8000-000000000001',
  name: 'web',
  state: 'shut-off',
  persistent: true,
  autostart: false,
  hasManagedSave: false,
  snapshots: [],
  checkpoints: [],
  memoryBytes: gibibyte,
  vcpus: 1,
  domainType: 'kvm',
  arch: 'x86_64',
  machine: 'q35',
  emulator: '/usr/bin/qemu-system-x86_64',
  disks: [disk()],
  nics: [{ mac: '52:54:00:00:00:01', kind: 'bridge', sourceName: 'br0' }],
  hostFiles: [],
  fixedDevices: [],
  ...changes,
});

/** A host that takes the VM above. */
export const beta = (changes: Partial<HostFacts> = {}): HostFacts => ({
  name: 'beta',
  hostname: 'beta',
  hostUuid: 'uuid-of-beta',
  libvirtVersion: '9.0.0',
  hypervisorVersion: '7.2.0',
  memoryBytes: 8 * gibibyte,
  freeMemoryBytes: 4 * gibibyte,
  cpus: 4,
  arch: 'x86_64',
  machines: ['kvm/x86_64/q35'],
  pools: [pool()],
  networks: ['default'],
  bridges: ['br0'],
  vms: [],
  guard: { hookLive: true, detail: '' },
  migrationAddress: '198.51.100.12',
  version: '0',
  ...changes,
});

export const pool = (changes: Partial<HostFacts['pools'][number]> = {}) => ({
  name: 'default',
  type: 'dir',
  active: true,
  path: '/images',
  capacityBytes: 100 * gibibyte,
  availableBytes: 50 * gibibyte,
  ...changes,
});

/** What a guest that runs feels alike on both hosts. */
export const machine = (changes: Partial<MachineFacts> = {}): MachineFacts => ({
  hostname: 'alpha',
  kernel: '6.1.0-30-amd64',
  cpu: {
    vendor: 'AuthenticAMD',
    signature: '25-1-1',
    microcode: '0xa0011d1',
    has64Bit: true,
    hasNx: true,
  },
  mtus: { bridges: { br0: 1500 }, networks: { default: 1500 } },
  clockAheadMs: 20,
  lockManager: '',
  qemuTls: { folder: '/etc/pki/qemu', missing: [] },
  ...changes,
});
