/** Network disks, secrets and kept state, as a definition names them and as a mending leaves them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DefinedFacts } from '../../../platforms/libvirt/domain-facts.ts';
import { DomainDocument } from '../../../platforms/libvirt/domain-xml.ts';

const uuid = '7d9e6a4c-52a1-4f0e-8f2b-9d7f5a3c1b20';
const key = '00000000-0000-4000-8000-000000000001';
const nvramFolder = '/var/lib/libvirt/qemu/nvram';

const xmlOf = (devices: string, os = ''): string =>
  `<domain type='qemu'><name>n</name><uuid>${uuid}</uuid><memory>1024</memory>${os}<devices>${devices}</devices></domain>`;
const factsOf = (devices: string, os?: string): DefinedFacts =>
  DomainDocument.parse(xmlOf(devices, os)).facts();
const disk = (source: string, { type = 'network', more = '' } = {}): string =>
  `<disk type='${type}' device='disk'><driver name='qemu' type='raw' cache='none'/>${source}<target dev='vda' bus='virtio'/>${more}</disk>`;

const fixture = (name: string): DefinedFacts =>
  DomainDocument.parse(
    readFileSync(join(import.meta.dirname, `../../fixtures/domains/${name}.xml`), 'utf8'),
  ).facts();

describe('definitions as users have them', () => {
  it('name every disk by its storage', () => {
    const { disks, secrets, hostFiles, fixedDevices } = fixture('network-disks');
    expect(disks.map(({ name, device, path, format }) => [name, device, path, format])).toEqual([
      ['vda', 'disk', 'rbd:vms/db-02', 'raw'],
      ['sda', 'lun', 'iscsi:iqn.2026-11.org.example:db02/3', 'raw'],
      ['vdb', 'disk', 'nfs:/export/vms/db-02-logs.qcow2', 'qcow2'],
      ['vdc', 'disk', '/dev/disk/by-id/wwn-0x5000c50015ea71ad', 'raw'],
      ['fda', 'floppy', '/var/lib/libvirt/images/drivers.vfd', 'raw'],
      ['sdb', 'cdrom', 'other:iso/netboot.iso', 'raw'],
    ]);
    expect(disks.map(({ encrypted }) => encrypted === true)).toEqual([
      ...[false, false, false, true, false, false],
    ]);
    expect(secrets).toEqual([
      { uuid: '2ec115d7-3a88-3ceb-bc12-0ac909a6fd87' },
      { usageType: 'iscsi', usage: 'libvirtiscsi' },
      { uuid: 'f52a81b2-424e-490c-823d-6bd4235bc572' },
    ]);
    expect(hostFiles).toEqual([{ role: 'other', path: '/etc/ceph/lab.conf' }]);
    expect(fixedDevices).toEqual([]);
  });

  it('keep state and need secrets that no disk shows', () => {
    const { keptState, secrets, fixedDevices, disks, uuid: id } = fixture('uefi-tpm');
    // Only its base image is, and still nobody reads the chain without the key.
    expect(disks[0]).toMatchObject({ encrypted: true, backing: [expect.any(String)] });
    expect(keptState).toEqual([
      { role: 'nvram', path: `${nvramFolder}/win-11_VARS.fd` },
      { role: 'tpm', path: `/var/lib/libvirt/swtpm/${id}/tpm2` },
    ]);
    expect(secrets).toEqual([
      { usageType: 'volume', usage: '/var/lib/libvirt/images/win-11-base.qcow2' },
      { uuid: '6dd3e4a5-1d76-44ce-961f-f119f5aad935' },
    ]);
    expect(fixedDevices).toEqual([]);
  });
});

describe('network disks', () => {
  it.each([
    [
      `<source protocol='rbd' name='pool/image'><host name='mon1' port='6789'/><host name='mon2'/><auth username='u'><secret type='ceph' uuid='${key.toUpperCase()}'/></auth></source>`,
      'rbd:pool/image',
      {
        ...{ protocol: 'rbd', name: 'pool/image' },
        hosts: [{ name: 'mon1', port: 6789 }, { name: 'mon2' }],
        auth: { username: 'u', secret: { uuid: key } },
      },
    ],
    [
      `<source protocol='iscsi' name='iqn.2026-11.example:d'><host name='192.0.2.1' port='3260'/></source>`,
      'iscsi:iqn.2026-11.example:d/0',
      {
        protocol: 'iscsi',
        name: 'iqn.2026-11.example:d',
        hosts: [{ name: '192.0.2.1', port: 3260 }],
      },
    ],
    [
      `<source protocol='nfs' name='/export/vda.raw'><host name='filer'/></source>`,
      'nfs:/export/vda.raw',
      { protocol: 'nfs', name: '/export/vda.raw', hosts: [{ name: 'filer' }] },
    ],
    [
      `<source protocol='nbd' name='e'><host transport='unix' socket='/run/nbd'/></source>`,
      'nbd:e',
      { protocol: 'nbd', name: 'e', hosts: [{ name: '/run/nbd' }] },
    ],
    [
      `<source protocol='gluster' name='v/i'><host name='g'/></source>`,
      'other:v/i',
      { protocol: 'other', name: 'v/i', hosts: [{ name: 'g' }] },
    ],
  ])('%s is read', (source, path, network) => {
    expect(factsOf(disk(source)).disks[0]).toMatchObject({ kind: 'network', path, network });
  });

  it('are written with servers and login, and nothing of a file stays', () => {
    const document = DomainDocument.parse(
      xmlOf(
        disk(
          `<source file='/a' startupPolicy='optional' index='3'><seclabel model='dac' relabel='no'/><encryption format='luks'/></source>`,
          { type: 'file', more: '<serial>s</serial>' },
        ),
      ),
    );
    const network = {
      ...{ protocol: 'rbd' as const, name: 'pool/image' },
      hosts: [{ name: 'mon1', port: 6789 }],
      auth: { username: 'u', secret: { usageType: 'ceph', usage: 'client.u' } },
    };
    document.setDiskPlace('vda', { kind: 'network', path: 'rbd:pool/image', network });
    expect(document.facts().disks[0]).toMatchObject({
      ...{ kind: 'network', path: 'rbd:pool/image', encrypted: true },
      network,
    });
    expect(document.toString()).toContain(
      `<source protocol="rbd" name="pool/image"><encryption format="luks"/><host name="mon1" port="6789"/><auth username="u"><secret type="ceph" usage="client.u"/></auth></source>`,
    );
    expect(document.toString()).toContain('<serial>s</serial>');
  });

  it('that are already where they should be are not touched', () => {
    const xml = xmlOf(
      disk(
        `<auth username='u'><secret usage='k' type='iscsi'/></auth><source name='iqn.a:b/1' protocol='iscsi'><!-- kept --><host port='3260' name='192.0.2.1'/><initiator><iqn name='iqn.i'/></initiator></source>`,
      ),
    );
    const document = DomainDocument.parse(xml);
    const before = document.toString();
    const { network, path } = document.facts().disks[0]!;
    document.setDiskPlace('vda', { kind: 'network', path, ...(network && { network }) });
    expect(document.toString()).toBe(before);
  });

  it('without a place, or of a protocol that nobody knows, are not written', () => {
    const document = DomainDocument.parse(xmlOf(disk(`<source file='/a'/>`, { type: 'file' })));
    const before = document.toString();
    const other = { protocol: 'other' as const, name: 'x', hosts: [] };
    expect(() => document.setDiskPlace('vda', { kind: 'network', path: 'x' })).toThrow(/no place/);
    expect(() =>
      document.setDiskPlace('vda', { kind: 'network', path: 'x', network: other }),
    ).toThrow(/unknown protocol/);
    expect(document.toString()).toBe(before);
  });
});

it('a shared disk keeps its chain and its format as they are written', () => {
  const chain = `<backingStore type='file'><format type='raw'/><source file='/base'/></backingStore>`;
  const document = DomainDocument.parse(
    xmlOf(`<disk type='file'><source file='/a'/><target dev='vda'/>${chain}</disk>`),
  );
  document.mendForTarget({
    disks: [{ name: 'vda', kind: 'file', path: '/b', format: 'raw', keepBacking: true }],
    note: { owner: 'b', epoch: 1, move: 'm' },
  });
  expect(document.facts().disks[0]).toMatchObject({ path: '/b', backing: ['/base'] });
  expect(document.toString()).not.toContain('<driver');
});

describe('secrets', () => {
  it('are found wherever a definition names them, each once', () => {
    const tpm = `<tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='${key}'/></backend></tpm>`;
    const login = `<auth username='u'><secret type='iscsi' usage='chap'/></auth>`;
    const luks = `<encryption format='luks'><secret type='passphrase' usage='/a.luks'/></encryption>`;
    const facts = factsOf(
      disk(`${login}<source protocol='iscsi' name='iqn.a:b/1'>${luks}</source>`, {
        more: `<backingStore type='file'><format type='raw'/><source file='/base'>${luks.replace(`usage='/a.luks'`, `uuid='${key}'`)}</source></backingStore>`,
      }) + tpm,
    );
    const iscsi = { usageType: 'iscsi', usage: 'chap' };
    const volume = { usageType: 'volume', usage: '/a.luks' };
    expect(facts.secrets).toEqual([iscsi, volume, { uuid: key }]);
    expect(facts.disks[0]).toMatchObject({
      encrypted: true,
      secrets: [iscsi, volume, { uuid: key }],
    });
    expect(factsOf(disk(`<source file='/a'/>`, { type: 'file' })).disks[0]).not.toHaveProperty(
      'encrypted',
    );
  });
});

describe('kept state', () => {
  const os = (inner: string, attributes = ''): string =>
    `<os${attributes}><type arch='x86_64' machine='q35'>hvm</type>${inner}</os>`;
  const flash = `<loader readonly='yes' type='pflash'>/fw.fd</loader>`;

  it.each([
    [
      'the file that the definition names',
      os(`${flash}<nvram>${nvramFolder}/x.fd</nvram>`),
      `${nvramFolder}/x.fd`,
    ],
    [
      'a file as a source',
      os(`${flash}<nvram type='file'><source file='${nvramFolder}/x.qcow2'/></nvram>`),
      `${nvramFolder}/x.qcow2`,
    ],
    ['the file that libvirt will name after the VM', os(flash), `${nvramFolder}/n_VARS.fd`],
    [
      'the same for firmware that libvirt chooses',
      os('', ` firmware='efi'`),
      `${nvramFolder}/n_VARS.fd`,
    ],
  ])('has UEFI variables in %s', (_where, text, path) => {
    const facts = factsOf('', text);
    expect(facts.keptState).toEqual([{ role: 'nvram', path }]);
    expect(facts.hostFiles.map(({ role }) => role)).not.toContain('nvram');
    expect(facts.fixedDevices).toEqual([]);
  });

  it.each([
    ['BIOS', os('')],
    ['BIOS that libvirt chooses', os('', ` firmware='bios'`)],
    ['a loader that is no flash', os(`<loader type='rom'>/bios.bin</loader>`)],
    ['a loader without variables', os(`<loader type='pflash' stateless='yes'>/fw.fd</loader>`)],
  ])('is none with %s', (_what, text) => {
    expect(factsOf('', text).keptState).toEqual([]);
  });

  it.each([
    `/srv/vms/x_VARS.fd`,
    `${nvramFolder}/sub/x.fd`,
    `${nvramFolder}/../../../../../etc/shadow`,
    `${nvramFolder}/..`,
    `${nvramFolder}//x.fd`,
  ])('leaves variables at %s to the host, as any other file', (path) => {
    const facts = factsOf('', os(`${flash}<nvram>${path}</nvram>`));
    expect(facts.keptState).toEqual([]);
    expect(facts.hostFiles).toContainEqual({ role: 'nvram', path });
  });

  it.each([
    ['chosen at each start', os('', ` firmware='efi'`), { loader: '' }],
    ['chosen before', os(flash, ` firmware='efi'`), { loader: '/fw.fd' }],
    ['that the definition alone names', os(flash), undefined],
    ['of a BIOS', os('', ` firmware='bios'`), undefined],
  ])('tells firmware %s', (_which, text, firmware) => {
    expect(factsOf('', text).firmware).toEqual(firmware);
  });

  it('names variables on the network as what cannot follow', () => {
    const nvram = `<nvram type='network'><source protocol='nbd' name='v'/></nvram>`;
    const facts = factsOf('', os(`${flash}${nvram}`));
    expect([facts.keptState, facts.fixedDevices]).toEqual([
      [],
      ['UEFI variables on network storage'],
    ]);
  });

  it.each([
    [`<backend type='emulator' version='2.0'/>`, [`/var/lib/libvirt/swtpm/${uuid}/tpm2`], []],
    [`<backend type='emulator'/>`, [`/var/lib/libvirt/swtpm/${uuid}/tpm2`], []],
    [`<backend type='emulator' version='1.2'/>`, [`/var/lib/libvirt/swtpm/${uuid}/tpm1.2`], []],
    [`<backend type='passthrough'><device path='/dev/tpm0'/></backend>`, [], ['tpm passthrough']],
    [`<backend type='external'/>`, [], ['tpm external']],
    [
      `<backend type='emulator'><source type='dir' path='/srv/tpm'/></backend>`,
      [],
      ['tpm emulator with its state in /srv/tpm'],
    ],
  ])('of a TPM with %s', (backend, kept, fixed) => {
    const facts = factsOf(`<tpm model='tpm-tis'>${backend}</tpm>`);
    expect(facts.keptState).toEqual(kept.map((path) => ({ role: 'tpm', path })));
    expect(facts.fixedDevices).toEqual(fixed);
  });

  it('never leaves its folder, whatever the VM is called', () => {
    const xml = xmlOf('', os(flash)).replace('<name>n<', '<name>../../../etc/x<');
    expect(DomainDocument.parse(xml).facts().keptState).toEqual([]);
  });
});
