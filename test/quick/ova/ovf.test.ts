import { expect, it } from 'vitest';
import { machineOf } from '../../../platforms/ova/ovf-machine.ts';
import type { OvfMachine } from '../../../platforms/ova/ovf-machine.ts';
import { parseEnvelope } from '../../../platforms/ova/ovf-envelope.ts';
import { bytesOf } from '../../../platforms/ova/ovf-units.ts';
import { collectionOvf, itemText, oVirtOvf, virtualBoxOvf, vmwareOvf } from './ovf-texts.ts';

const machinesOf = (text: string): OvfMachine[] => {
  const envelope = parseEnvelope(Buffer.from(text), 'x.ova');
  return envelope.systems.map((system) => machineOf(envelope, system, 'x.ova'));
};
const one = (text: string): OvfMachine => machinesOf(text)[0]!;
const MiB = 1024 ** 2;
const disks = [{ id: 'vmdisk1', href: 'a.vmdk', capacity: 64 * MiB }];

it('reads what vSphere exports', () => {
  const machine = one(
    vmwareOvf({
      disks: [
        {
          id: 'vmdisk1',
          href: 'a.vmdk',
          capacity: 16,
          more: 'ovf:capacityAllocationUnits="byte * 2^30" ovf:populatedSize="4096"',
        },
        { id: 'vmdisk2', capacity: 1048576 },
      ],
      hardware: `${itemText({ InstanceID: 50, ResourceType: 15, HostResource: 'ovf:/file/file-vmdisk1', Parent: 3 })}
        ${itemText({ InstanceID: 51, ResourceType: 15 })}
        ${itemText({ InstanceID: 52, ResourceType: 1, ResourceSubType: 'vmware.pcipassthrough' })}
        ${itemText({ InstanceID: 53, ResourceType: 1, ResourceSubType: 'vmware.vtpm' })}
        <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
        <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>`,
      system: `<vmw:BootOrderSection vmw:instanceId="11" vmw:type="disk"><Info/></vmw:BootOrderSection>
        <ProductSection><Info/><Property ovf:key="ip0" ovf:type="string"/></ProductSection>`,
    }),
  );
  expect(machine).toMatchObject({
    id: 'web',
    name: 'web',
    uuid: '',
    arch: 'x86_64',
    cpus: 4,
    coresPerSocket: 2,
    memoryBytes: 2048 * MiB,
    firmware: 'uefi',
    secureBoot: true,
    tpm: true,
    guestOs: 'debian11_64Guest',
    guestFamily: 'linux',
    cdroms: ['a.vmdk', ''],
    fixedDevices: ['PCI passthrough "vmware.pcipassthrough"'],
    properties: ['ip0'],
    nics: [{ key: '40', mac: '', network: 'VM Network', model: 'vmxnet3', connected: true }],
  });
  expect(machine.disks).toMatchObject([
    {
      key: 'vmdisk1',
      bus: 'scsi',
      unit: { controller: 0, unit: 0 },
      boot: false,
      disk: { capacityBytes: 16 * 1024 * MiB, populatedBytes: 4096, format: 'vmdk' },
    },
    {
      key: 'vmdisk2',
      bus: 'scsi',
      unit: { controller: 0, unit: 1 },
      boot: true,
      disk: { capacityBytes: 1048576 },
    },
  ]);
  expect(machine.disks[1]?.disk.file).toBeUndefined();
});

it('reads what VirtualBox exports', () => {
  const machine = one(virtualBoxOvf('a.vmdk'));
  expect(machine).toMatchObject({
    name: 'vbox web',
    uuid: '6e2b0a37-64f5-4b8b-8c4b-6c0d3c7e1f11',
    cpus: 1,
    memoryBytes: 512 * MiB,
    firmware: 'uefi',
    secureBoot: false,
    tpm: true,
    guestOs: 'Windows10_64',
    guestFamily: 'windows',
    cdroms: [''],
    nics: [{ mac: '08:00:27:1f:2e:3d', network: 'NAT', model: 'e1000' }],
    disks: [{ key: 'vmdisk1', bus: 'sata', unit: { controller: 0, unit: 0 } }],
  });
});

it('reads what oVirt exports', () => {
  const machine = one(oVirtOvf('images/a.raw'));
  expect(machine).toMatchObject({
    name: 'ovirt-web',
    uuid: '0d1f2e3c-1111-4222-8333-444455556666',
    cpus: 4,
    coresPerSocket: 2,
    memoryBytes: 1024 * MiB,
    firmware: 'uefi',
    secureBoot: true,
    guestFamily: 'linux',
    nics: [{ mac: '56:6f:1a:2b:00:01', network: 'ovirtmgmt', model: 'virtio' }],
    disks: [
      {
        key: '9f1c',
        bus: 'scsi',
        boot: true,
        disk: { format: 'raw', file: { href: 'images/a.raw' } },
      },
    ],
  });
});

it('reads sections that are told by their type alone', () => {
  const text = oVirtOvf('a.raw')
    .replaceAll(
      /<(\/?)(DiskSection|OperatingSystemSection|VirtualHardwareSection)\b/g,
      (_, slash: string, name: string) =>
        slash === '' ? `<Section xsi:type="ovf:${name}_Type"` : '</Section',
    )
    .replace('<VirtualSystem ', '<Content xsi:type="ovf:VirtualSystem_Type" ')
    .replace('</VirtualSystem>', '</Content>');
  expect(one(text)).toMatchObject({ cpus: 4, disks: [{ key: '9f1c' }], guestOs: 'rhel_8x64' });
});

it('tells namespaces by what they are, not by their prefix', () => {
  const text = vmwareOvf({ disks }).replaceAll('rasd:', 'r:').replace('xmlns:rasd', 'xmlns:r');
  expect(one(text)).toMatchObject({ cpus: 4, memoryBytes: 2048 * MiB });
  const other = vmwareOvf({ disks })
    .replace('CIM_ResourceAllocationSettingData"', 'other"')
    .replace('http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/other', 'urn:other');
  expect(() => one(other)).toThrow(/memory/);
});

it('knows several machines, and a disk that they share', () => {
  const shared = { id: 'common', href: 'c.vmdk', capacity: MiB };
  const machines = machinesOf(
    collectionOvf([
      { name: 'web', disks: [{ id: 'w', href: 'w.vmdk', capacity: MiB }, shared] },
      { name: 'db', disks: [shared] },
    ]),
  );
  expect(machines.map(({ id, disks: of }) => [id, of.map(({ key }) => key)])).toEqual([
    ['web', ['w', 'common']],
    ['db', ['common']],
  ]);
});

it('takes the default configuration, and the normal value of a range', () => {
  const text = vmwareOvf({
    disks,
    hardware: `${itemText({ InstanceID: 1, ResourceType: 3, VirtualQuantity: 8 }, ' ovf:configuration="large"')}
      ${itemText({ InstanceID: 2, ResourceType: 4, AllocationUnits: 'byte * 2^30', VirtualQuantity: 16 }, ' ovf:configuration="large"')}
      ${itemText({ InstanceID: 2, ResourceType: 4, AllocationUnits: 'byte * 2^30', VirtualQuantity: 64 }, ' ovf:bound="max"')}`,
  });
  const options = `<DeploymentOptionSection><Info/><Configuration ovf:id="small"/><Configuration ovf:id="large" ovf:default="true"/></DeploymentOptionSection>`;
  expect(one(text)).toMatchObject({ cpus: 4, memoryBytes: 2048 * MiB });
  expect(one(text.replace('<NetworkSection>', `${options}<NetworkSection>`))).toMatchObject({
    cpus: 8,
    memoryBytes: 16 * 1024 * MiB,
  });
});

it.each([
  ['64', 'byte', 64],
  ['2', 'byte * 2^30', 2 ** 31],
  ['2', 'byte*2^20', 2 * MiB],
  ['3', 'byte * 1024', 3072],
  ['3', 'byte * 10^3', 3000],
  ['5', 'MegaBytes', 5 * MiB],
  ['5', 'GB', 5 * 1024 * MiB],
  ['', 'byte', undefined],
  ['-1', 'byte', undefined],
  ['1.5', 'byte', undefined],
  ['1', 'hertz', undefined],
  ['9007199254740991', 'byte * 2^20', undefined],
  ['1', 'byte * 2^99', undefined],
])('takes %s of %s for %s bytes', (quantity, unit, bytes) => {
  expect(bytesOf(quantity, unit)).toBe(bytes);
});

const entities = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>`;
const sound = vmwareOvf({ disks });
it.each([
  ['expands entities', sound.replace('<Envelope', `${entities}<Envelope`), /document type/],
  [
    'reads a file of the host',
    sound.replace('<Envelope', '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Envelope'),
    /document type/,
  ],
  [
    'is nested without end',
    sound.replace(
      '<NetworkSection>',
      `${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}<NetworkSection>`,
    ),
    /nested|well-formed/,
  ],
  [
    'has a million tags',
    sound.replace('<NetworkSection>', `${'<a/>'.repeat(200_000)}<NetworkSection>`),
    /tags/,
  ],
  ['is cut', sound.slice(0, -20), /well-formed/],
  ['is something else', '<html/>', /<Envelope>/],
  [
    'has no machine',
    sound.replaceAll('VirtualSystem>', 'X>').replace('<VirtualSystem ', '<X '),
    /no machine/,
  ],
  [
    'uses a disk that is not there',
    sound.replace('ovf:/disk/vmdisk1', 'ovf:/disk/other'),
    /ovf:\/disk\/other/,
  ],
  [
    'has a disk of a file that is not listed',
    sound.replace('ovf:fileRef="file-vmdisk1"', 'ovf:fileRef="f"'),
    /not listed/,
  ],
  ['states memory in words', sound.replace('>2048<', '>lots<'), /memory/],
  ['states endless memory', sound.replace('>2048<', '>9007199254740<'), /memory/],
  [
    'states a million CPUs',
    sound.replace('<rasd:VirtualQuantity>4<', '<rasd:VirtualQuantity>1000000<'),
    /CPUs/,
  ],
  [
    'compresses in its own way',
    sound.replace('ovf:id="file-vmdisk1"', 'ovf:id="file-vmdisk1" ovf:compression="rar"'),
    /rar/,
  ],
])('refuses an OVF that %s', (_, text, why) => {
  expect(() => machinesOf(text)).toThrow(why);
});

it('refuses two machines, files or disks of one ID', () => {
  const twice = collectionOvf([
    { name: 'web', disks },
    { name: 'web', disks: [] },
  ]);
  expect(() => machinesOf(twice)).toThrow(/two machines/);
  expect(() => machinesOf(sound.replace(/<File [^>]*>/, '$&$&'))).toThrow(/two files/);
  expect(() => machinesOf(sound.replace(/<Disk [^>]*>/, '$&$&'))).toThrow(/two disks/);
});

it('takes no address of a group for that of a card', () => {
  const text = (mac: string) => oVirtOvf('a.raw').replace('56:6F:1A:2B:00:01', mac);
  expect(one(text('01:00:5E:00:00:01')).nics[0]?.mac).toBe('');
  expect(one(text('00-50-56-AB-CD-EF')).nics[0]?.mac).toBe('00:50:56:ab:cd:ef');
  expect(one(text("x'; rm")).nics[0]?.mac).toBe('');
});
