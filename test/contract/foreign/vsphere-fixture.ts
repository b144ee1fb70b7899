/** A vCenter with the machines that the tests of vSphere are about. */
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { startVcenter } from '../../../lab/vcenter/vcenter.ts';
import type { Vcenter, VcenterVm } from '../../../lab/vcenter/vcenter.ts';
import { VsphereSource } from '../../../platforms/vsphere/source.ts';
import type { VsphereOptions } from '../../../platforms/vsphere/source.ts';

export const MIB = 2 ** 20;

/** A machine with one disk of zeroes, off; what differs is given. */
export const machine = (name: string, changes: Partial<VcenterVm> = {}): VcenterVm => ({
  name,
  guestId: 'debian11_64Guest',
  cpus: 2,
  coresPerSocket: 1,
  memoryMb: 512,
  firmware: 'bios',
  disks: [{ key: 2000, sizeBytes: MIB, controller: 'scsi' }],
  nics: [],
  ...changes,
});

/** Everything that an inspection can tell, in one. */
export const richMachine: VcenterVm = machine('rich', {
  guestId: 'windows2019srv_64Guest',
  cpus: 4,
  coresPerSocket: 2,
  memoryMb: 2048,
  firmware: 'efi',
  secureBoot: true,
  tpm: true,
  running: true,
  iso: '[LocalDS_0] iso/setup.iso',
  passthrough: '0000:03:00.0',
  // Not in the order in which firmware meets them.
  disks: [
    { key: 16000, sizeBytes: MIB, controller: 'sata' },
    { key: 2016, sizeBytes: 2 * MIB, controller: 'scsi', bus: 1, shared: true },
    { key: 2001, sizeBytes: MIB, controller: 'scsi', unit: 1, mode: 'independent_persistent' },
    { key: 2000, sizeBytes: 3 * MIB, controller: 'scsi', boot: true },
    { key: 3000, sizeBytes: MIB, controller: 'ide', encrypted: true },
    { key: 31000, sizeBytes: MIB, controller: 'nvme', raw: true },
  ],
  nics: [
    { mac: '00:50:56:AA:BB:01', model: 'vmxnet3', distributed: true },
    { mac: '00:50:56:aa:bb:02', model: 'e1000' },
  ],
  guest: [
    {
      mac: '00:50:56:aa:bb:01',
      addresses: ['192.0.2.7', 'not an address'],
      prefix: 24,
      origin: 'manual',
      gateway: '192.0.2.1',
      dns: ['192.0.2.53'],
      search: ['example.org'],
    },
    { mac: '00:50:56:aa:bb:02', addresses: ['2001:db8::7'], prefix: 64, origin: 'dhcp' },
    { mac: '', addresses: ['172.17.0.1'], prefix: 16, origin: 'manual' },
  ],
});

export { startVcenter, type Vcenter };

export const optionsFor = (
  vcenter: Vcenter,
  changes: Partial<VsphereOptions> = {},
): VsphereOptions => ({
  url: vcenter.url,
  username: vcenter.username,
  password: vcenter.password,
  trust: { sha256: vcenter.thumbprintSha256 },
  ...changes,
});

export const openSource = (
  vcenter: Vcenter,
  changes?: Partial<VsphereOptions>,
): Promise<VsphereSource> => VsphereSource.open(optionsFor(vcenter, changes));

/** What it fails with. */
export const refusal = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing',
    (error: unknown) => error,
  );

/** Names of what somebody has in the folder for what is temporary. */
export const temporariesOf = async (prefix: string): Promise<string[]> =>
  (await readdir(tmpdir())).filter((name) => name.startsWith(prefix));
