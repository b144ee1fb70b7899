/** A foreign domain's definition in the words of every source platform. */
import { describe, expect, it } from 'vitest';
import { readDefinition } from '../../../platforms/remote-kvm/definition.ts';

const uuid = '6f1a2c3d-0000-4000-8000-0123456789ab';

const domain = ({ os = '', devices = '', more = '' } = {}): string =>
  `<domain type='kvm'><name>web</name><uuid>${uuid}</uuid><memory unit='GiB'>2</memory><vcpu>4</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>${os}</os>${more}<devices>${devices}</devices></domain>`;

const disk = (
  name: string,
  { bus = 'virtio', more = '', device = 'disk', format = 'qcow2' } = {},
) =>
  `<disk type='file' device='${device}'><driver name='qemu' type='${format}'/><source file='/images/${name}'/><target dev='${name}' bus='${bus}'/>${more}</disk>`;

const vmOf = (parts: Parameters<typeof domain>[0]) => readDefinition(domain(parts), 'shut-off').vm;

describe('a foreign definition', () => {
  it('tells size, processor layout and identity', () => {
    const more = `<cpu><topology sockets='2' cores='2' threads='1'/></cpu>`;
    expect(vmOf({ more })).toMatchObject({
      ...{ kind: 'kvm', id: uuid, uuid, name: 'web', state: 'shut-off', arch: 'x86_64' },
      ...{ memoryBytes: 2 * 1024 ** 3, cpus: 4, coresPerSocket: 2 },
    });
  });

  it('keeps the disks in their order, with bus and place, and media apart', () => {
    const drive = (controller: number, bus: number, unit: number): string =>
      `<address type='drive' controller='${controller}' bus='${bus}' target='0' unit='${unit}'/>`;
    const devices = [
      disk('vda'),
      disk('sda', { bus: 'scsi', more: drive(1, 0, 3) }),
      disk('hdb', { bus: 'ide', more: drive(0, 1, 1) }),
      disk('sdc', { bus: 'sata', device: 'cdrom', more: '<readonly/>' }),
      `<disk type='file' device='cdrom'><target dev='sdd' bus='sata'/></disk>`,
      disk('vdb', { more: '<shareable/><transient/>' }),
    ].join('');
    const vm = vmOf({ devices });
    expect(vm.disks.map(({ key, bus, unit }) => [key, bus, unit.controller, unit.unit])).toEqual([
      ['vda', 'virtio', 0, 0],
      ['sda', 'scsi', 1, 3],
      ['hdb', 'ide', 0, 3],
      ['vdb', 'virtio', 0, 3],
    ]);
    expect(vm.disks[3]).toMatchObject({ shared: true, independent: true, path: '/images/vdb' });
    expect(vm.cdroms).toEqual(['/images/sdc', '']);
    expect(vm.disks.some(({ boot }) => boot)).toBe(false);
  });

  it('takes the disk with the lowest order as the one that boots', () => {
    const devices =
      disk('vda', { more: `<boot order='2'/>` }) + disk('vdb', { more: `<boot order='1'/>` });
    expect(vmOf({ devices }).disks.map(({ boot }) => boot)).toEqual([undefined, true]);
  });

  it.each([
    ['', 'bios', false],
    [`<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>`, 'uefi', false],
    [`<loader readonly='yes' secure='yes' type='pflash'>/x</loader>`, 'uefi', true],
    [`<loader type='rom'>/usr/share/seabios/bios.bin</loader>`, 'bios', false],
  ])('reads firmware and Secure Boot of %s', (os, firmware, secureBoot) => {
    expect(vmOf({ os })).toMatchObject({ firmware, secureBoot });
  });

  it('reads firmware that libvirt chooses, with Secure Boot asked for, and a TPM', () => {
    const xml = domain({
      os: `<firmware><feature enabled='yes' name='secure-boot'/></firmware>`,
      devices: `<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`,
    }).replace('<os>', `<os firmware='efi'>`);
    expect(readDefinition(xml, 'running').vm).toMatchObject({
      ...{ firmware: 'uefi', secureBoot: true, tpm: true },
    });
  });

  it('names the networks of the cards as a map of networks would', () => {
    const nic = (type: string, source: string, more = ''): string =>
      `<interface type='${type}'><mac address='52:54:00:AA:00:01'/><source ${source}/><model type='virtio'/>${more}</interface>`;
    const devices = [
      nic('network', `network='default' portgroup='web'`),
      nic('bridge', `bridge='br0'`, `<link state='down'/>`),
      nic('direct', `dev='eth0' mode='bridge'`),
    ].join('');
    expect(vmOf({ devices }).nics).toEqual([
      { key: '0', mac: '52:54:00:aa:00:01', network: 'default', model: 'virtio', connected: true },
      { key: '1', mac: '52:54:00:aa:00:01', network: 'br0', model: 'virtio', connected: false },
      { key: '2', mac: '52:54:00:aa:00:01', network: 'eth0', model: 'virtio', connected: true },
    ]);
  });

  it.each([
    ['http://debian.org/debian/12', 'linux'],
    ['http://microsoft.com/win/2k22', 'windows'],
    ['http://freebsd.org/freebsd/14.0', 'other'],
  ])('takes %s for %s', (id, family) => {
    const more = `<metadata><l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'><l:os id='${id}'/></l:libosinfo></metadata>`;
    expect(vmOf({ more })).toMatchObject({ guestOs: id, guestFamily: family });
  });

  it('refuses what is no definition, or brings entities along', () => {
    expect(() => readDefinition('<network/>', 'running')).toThrow(/root element/);
    const bomb = `<!DOCTYPE d [<!ENTITY a 'b'>]>${domain()}`;
    expect(() => readDefinition(bomb, 'running')).toThrow(/document type/);
  });
});
