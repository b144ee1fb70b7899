import type { ForeignDisk, ForeignNic, ForeignVm } from '../../../domain/foreign.ts';
import type { TargetPlan } from '../../../convert/target-shape.ts';

export const foreignDisk = (key: string, more: Partial<ForeignDisk> = {}): ForeignDisk => ({
  ...{ key, path: `[ds1] web/${key}.vmdk`, capacityBytes: 2 ** 30, allocationBytes: 0 },
  ...{ bus: 'scsi', unit: { controller: 0, unit: 0 }, independent: false, shared: false },
  ...{ raw: false, encrypted: false },
  ...more,
});

export const foreignNic = (key: string, more: Partial<ForeignNic> = {}): ForeignNic => ({
  ...{ key, mac: '00:50:56:00:00:01', network: 'VM Network', model: 'vmxnet3', connected: true },
  ...more,
});

export const foreignVm = (more: Partial<ForeignVm> = {}): ForeignVm => ({
  ...{ kind: 'vsphere', id: 'vm-42', name: 'web', state: 'shut-off', path: 'DC0/vm/web' },
  ...{ memoryBytes: 2 ** 30, cpus: 4, coresPerSocket: 2, arch: 'x86_64' },
  uuid: '420e8b8c-1c5e-9d6f-8f3a-9a6d3b1c2e4f',
  ...{ firmware: 'bios', secureBoot: false, tpm: false },
  ...{ guestOs: 'debian11_64Guest', guestFamily: 'linux' },
  disks: [foreignDisk('2000'), foreignDisk('2001', { boot: true })],
  nics: [foreignNic('4000')],
  ...{ cdroms: [''], snapshots: [], guestNetwork: [], fixedDevices: [] },
  ...more,
});

export const targetPlan = (more: Partial<TargetPlan> = {}): TargetPlan => ({
  ...{ name: 'web', uuid: '420e8b8c-1c5e-9d6f-8f3a-9a6d3b1c2e4f', domainType: 'qemu' },
  disks: [
    { key: '2000', kind: 'file', path: '/pool/web-0.raw', format: 'raw' },
    { key: '2001', kind: 'block', path: '/dev/vg/web-1', format: 'qcow2' },
  ],
  networks: new Map([['VM Network', { kind: 'bridge', name: 'br0' }]]),
  converted: true,
  ...more,
});
