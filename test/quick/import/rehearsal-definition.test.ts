import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { definitionOf } from '../../../activities/import/define-import.ts';
import { DomainDocument } from '../../../platforms/libvirt/domain-xml.ts';
import {
  networkXml,
  rehearsalDomain,
  rehearsalName,
} from '../../../platforms/libvirt/rehearsal-xml.ts';
import type { RehearsalDefinition } from '../../../platforms/libvirt/rehearsal-xml.ts';
import { attribute, childElements, elementAt, parseXml } from '../../../platforms/libvirt/xml.ts';
import { foreignVm, planFor } from './fake-import.ts';

const uuid = '6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e042';
const image = '/cache/rehearsal/disk-0.qcow2';
const options: RehearsalDefinition = {
  as: rehearsalName('a'.repeat(32)),
  migrationId: "m'<1>",
  domainType: 'qemu',
  images: [image, '/cache/rehearsal/disk-1.qcow2'],
  consolePath: '/var/log/console.log',
};

/** What binds a guest to a host, or leads out of it. Nothing of it may be left, wherever it stood. */
const outward = [
  `<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='3' slot='0' function='0'/></source></hostdev>`,
  `<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='${uuid}'/></source></hostdev>`,
  `<redirdev bus='usb' type='tcp'><source mode='connect' host='198.51.100.9' service='4000'/></redirdev>`,
  `<filesystem type='mount'><source dir='/srv'/><target dir='share'/></filesystem>`,
  `<shmem name='shared'><model type='ivshmem-plain'/></shmem>`,
  `<graphics type='vnc' listen='0.0.0.0' port='5901'/>`,
  `<smartcard mode='host'/>`,
  `<parallel type='dev'><source path='/dev/parport0'/></parallel>`,
  `<serial type='tcp'><source mode='bind' host='0.0.0.0' service='2445'/></serial>`,
  `<serial type='dev'><source path='/dev/ttyS0'/></serial>`,
  `<console type='udp'><source mode='connect' host='198.51.100.9' service='1'/><target type='serial'/></console>`,
  `<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>`,
  `<channel type='file'><source path='/srv/out'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`,
  `<input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>`,
  `<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`,
  `<rng model='virtio'><backend model='egd' type='udp'><source mode='connect' host='198.51.100.9' service='1'/></backend></rng>`,
  `<interface type='direct'><source dev='eth0' mode='passthrough'/></interface>`,
  `<interface type='bridge'><mac address='52:54:00:00:00:09'/><source bridge='br0'/><target dev='tap9'/><ip address='198.51.100.9'/><filterref filter='clean'/></interface>`,
  `<interface type='vhostuser'><source type='unix' path='/run/vhost.sock' mode='client'/></interface>`,
  `<interface type='hostdev' managed='yes'><source><address type='pci' domain='0' bus='0' slot='7' function='0'/></source></interface>`,
  `<interface type='user'><backend type='passt'/><portForward proto='tcp'><range start='22'/></portForward></interface>`,
  `<interface type='ethernet'><script path='/srv/up'/></interface>`,
  `<something-new-of-a-later-libvirt source='eth0'/>`,
];
const around = [
  `<seclabel type='none'/>`,
  `<memoryBacking><source type='file'/></memoryBacking>`,
  `<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-snapshot'/></qemu:commandline>`,
  `<resource><partition>/machine/prod</partition></resource>`,
  `<metadata><vmferry:vm xmlns:vmferry='urn:vmferry:domain:1'><vmferry:admit>${'a'.repeat(32)}</vmferry:admit></vmferry:vm></metadata>`,
  `<title>prod</title>`,
];

const definition = (devices: readonly string[], more: readonly string[]): string =>
  `<domain type='kvm'><name>web</name><uuid>${uuid}</uuid>${more.join('')}
  <memory unit='KiB'>1048576</memory><vcpu>1</vcpu>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type><loader>/fw.fd</loader><nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram></os>
  <cpu mode='host-model' check='partial'><topology sockets='1' cores='1' threads='1'/></cpu>
  <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/><target dev='sda' bus='sata'/></disk>
  ${devices.join('\n')}</devices></domain>`;

describe('the definition of a rehearsal', () => {
  it('keeps nothing that leads out of it, whatever a definition has', () => {
    const wild = fc.record({
      devices: fc.array(fc.constantFrom(...outward), { maxLength: 12 }),
      more: fc.uniqueArray(fc.constantFrom(...around)),
      domainType: fc.constantFrom('kvm', 'qemu'),
    });
    fc.assert(
      fc.property(wild, ({ devices, more, domainType }) => {
        const { xml } = rehearsalDomain(definition(devices, more), { ...options, domainType });
        expect(xml).not.toMatch(
          /br0|eth0|198\.51|\/srv|\/dev\/|tap9|admit|VARS|listen|passthrough/,
        );
        expect(xml).not.toMatch(/hostdev|redirdev|shmem|something-new|commandline|seclabel|web/);
        const root = parseXml(xml, { root: 'domain' }).documentElement!;
        const held = elementAt(root, 'devices')!;
        for (const card of childElements(held, 'interface')) {
          expect(attribute(card, 'type')).toBe('network');
          const network = attribute(elementAt(card, 'source'), 'network');
          expect(network).toMatch(/^vmferry-rehearsal-[0-9a-f]{12}-\d+$/);
        }
        for (const name of ['serial', 'console'])
          for (const one of childElements(held, name)) expect(attribute(one, 'type')).toBe('pty');
        for (const channel of childElements(held, 'channel'))
          expect(childElements(channel, 'source')).toEqual([]);
      }),
    );
  });

  it('is another VM: its own name, UUID and note, and a throw-away image that waits for no disk', () => {
    const { xml } = rehearsalDomain(definition([], []), options);
    const facts = DomainDocument.parse(xml).facts();
    expect(facts).toMatchObject({ name: options.as.name, uuid: options.as.uuid });
    expect(facts.uuid).not.toBe(uuid);
    expect(xml).toMatch(/migration>m'&lt;1(?:&gt;|>)<\/vmferry:migration/);
    expect(xml).toContain('cache="unsafe"');
    expect(facts.domainType).toBe('qemu');
    expect(xml).not.toContain('host-model');
  });

  it.each([
    `<disk type='file' device='disk'><source file='/pool/web-0.qcow2'/><target dev='sdb'/></disk>`,
    `<disk type='block' device='disk'><source dev='/dev/vg/web'/><target dev='sdb'/></disk>`,
    `<disk type='network' device='disk'><source protocol='rbd' name='pool/web'/><target dev='sdb'/></disk>`,
    `<disk type='volume' device='disk'><source pool='default' volume='web'/><target dev='sdb'/></disk>`,
    `<disk type='nvme' device='disk'><source type='pci' managed='yes'/><target dev='sdb'/></disk>`,
    `<disk type='file' device='cdrom'><source file='/srv/prod.iso'/><target dev='sdb'/></disk>`,
    `<disk type='file' device='disk'><target dev='sdb'/></disk>`,
  ])('is none where a disk is no throw-away image: %s', (disk) => {
    expect(() => rehearsalDomain(definition([disk], []), options)).toThrow(/image/);
  });

  it('has the cards of the plan with their addresses, on a segment for each planned network', () => {
    const nic = (key: string) => ({ ...foreignVm.nics[0]!, key, mac: `52:54:00:00:00:0${key}` });
    const nics = ['1', '2', '3'].map((key, at) => {
      const network = at === 1 ? 'network:lan' : 'bridge:br0';
      return { key, mac: `52:54:00:00:00:0${key}`, network } as const;
    });
    const plan = { ...planFor(uuid, false), nics };
    const foreign = { ...foreignVm, nics: ['1', '2', '3'].map(nic) };
    const disks = plan.disks.map(({ key: _key, ...disk }, at) => ({
      ...disk,
      ...{ targetPath: options.images[at]!, targetFormat: 'qcow2' as const },
      ...({ sourcePath: '', sourceFormat: 'raw', sourceKind: 'file', how: 'copy' } as const),
      ...({ allocation: 'thin', exclusive: true } as const),
    }));
    const { xml, networks, cards } = rehearsalDomain(
      definitionOf({ foreign, plan, disks }),
      options,
    );
    // As the definition orders them: by network.
    expect(cards.map(({ mac }) => mac).toSorted()).toEqual(nics.map(({ mac }) => mac));
    const at = new Map(cards.map(({ mac, segment }) => [mac, segment]));
    expect(at.get('52:54:00:00:00:01')).toBe(at.get('52:54:00:00:00:03'));
    expect(at.get('52:54:00:00:00:01')).not.toBe(at.get('52:54:00:00:00:02'));
    expect(networks).toHaveLength(2);
    expect(xml).toContain('org.qemu.guest_agent.0');
    expect(xml).toContain('<log file="/var/log/console.log" append="off"/>');
  });
});

describe('a network of a rehearsal', () => {
  it('leads nowhere, and has a bridge that the kernel takes', () => {
    const other = rehearsalName('b'.repeat(32));
    for (const as of [options.as, other]) {
      const { networks } = rehearsalDomain(definition([outward[17]!], []), { ...options, as });
      const [network] = networks;
      expect(network!.bridge).toMatch(/^vfr[0-9a-f]{12}$/);
      const xml = networkXml(network!, { address: '198.51.100.1', prefix: 30 });
      expect(xml).not.toMatch(/forward|dhcp/);
      expect(xml).toContain("<dns enable='no'/>");
      expect(networkXml(network!)).not.toContain('<ip');
    }
    expect(other).not.toEqual(options.as);
  });
});
