import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DomainDocument, metadataNamespace } from '../../../platforms/libvirt/domain-xml.ts';
import { attribute, elementAt, parseXml } from '../../../platforms/libvirt/xml.ts';

const folder = join(import.meta.dirname, '../../fixtures/domains');
const fixture = (name: string): string => readFileSync(join(folder, `${name}.xml`), 'utf8');
const names = readdirSync(folder).map((file) => file.replace(/\.xml$/, ''));
const note = { owner: 'beta', epoch: 4, move: 'migrate/lab/x' };

const tiny = (devices: string, more = ''): string =>
  `<domain type='qemu'><name>n</name><uuid>7d9e6a4c-52a1-4f0e-8f2b-9d7f5a3c1b20</uuid><memory>1024</memory>${more}<devices>${devices}</devices></domain>`;
const disk = (name: string): string =>
  `<disk type='file'><source file='/d/${name}'/><target dev='${name}'/></disk>`;

/** The document in one canonical form of the parser's own: what is equal here means the same. */
const canonical = (xml: string): string => DomainDocument.parse(xml).toString();

describe('round trip', () => {
  it.each(names)('%s keeps its meaning and is stable from the first writing on', (name) => {
    const once = canonical(fixture(name));
    expect(canonical(once)).toBe(once);
    expect(DomainDocument.parse(once).facts()).toEqual(DomainDocument.parse(fixture(name)).facts());
  });

  it('keeps comments, foreign namespaces, unknown elements and character references', () => {
    const text = canonical(fixture('cluster-storage'));
    expect(text).toContain('<!-- no NIC by intent -->');
    expect(text).toContain('<!-- end of export -->');
    expect(text).toContain('id=7&page=2');
    expect(text).toContain(
      '<unknownToThisVersion since="99.0"><keep me="yes"/></unknownToThisVersion>',
    );
    expect(text).toContain('other:flag="a&#10;b"');
    expect(text).toContain('<inner/>');
    expect(canonical(fixture('uefi-desktop'))).toContain('passwd="s3cr3t&#10;x"');
    expect(canonical(fixture('uefi-desktop'))).toContain('second line&#13;\n\ttabbed');
  });

  it('takes for line ends what XML 1.0 does, and nothing else', () => {
    const document = DomainDocument.parse(
      tiny('', '<title>a\r\nb\rc\u0085d\u2028e\u2029f</title>'),
    );
    expect(document.toString()).toContain('<title>a\nb\nc\u0085d\u2028e\u2029f</title>');
  });

  it('keeps any text and attribute through a mending and back', () => {
    const character = fc
      .string({ unit: 'binary', maxLength: 30 })
      .filter(
        (text) => text.isWellFormed() && !/[^\t\n\r\u0020-\uFFFD\u{10000}-\u{10FFFF}]/u.test(text),
      );
    const written = (text: string): string =>
      text.replace(/[^A-Za-z0-9]/gu, (each) => `&#${each.codePointAt(0) ?? 0};`);
    fc.assert(
      fc.property(character, character, (text, value) => {
        const document = DomainDocument.parse(
          tiny(disk('vda'), `<title>${written(text)}</title><x y='${written(value)}'/>`),
        );
        document.mendForTarget({
          disks: [{ name: 'vda', path: `/p/${value}`, kind: 'file' }],
          note,
        });
        const again = DomainDocument.parse(document.toString());
        expect(again.toString()).toBe(document.toString());
        expect(again.facts().disks[0]!.path).toBe(`/p/${value}`);
        const root = parseXml(again.toString(), { root: 'domain' }).documentElement!;
        expect(elementAt(root, 'title')!.textContent).toBe(text);
        expect(attribute(elementAt(root, 'x'), 'y')).toBe(value);
      }),
      { numRuns: 100 },
    );
  });
});

describe('facts', () => {
  it('reads a plain guest', () => {
    const facts = DomainDocument.parse(fixture('cloud-guest')).facts();
    expect(facts).toMatchObject({
      uuid: '6f1e2c3d-4b5a-4978-8695-a4b3c2d1e0f9',
      name: 'web-01',
      memoryBytes: 2 * 1024 ** 3,
      vcpus: 2,
      domainType: 'kvm',
      arch: 'x86_64',
      machine: 'pc-q35-7.2',
      emulator: '/usr/bin/qemu-system-x86_64',
      hostFiles: [],
      fixedDevices: [],
    });
    expect(
      facts.disks.map(({ name, device, kind, path, format }) => [name, device, kind, path, format]),
    ).toEqual([
      ['vda', 'disk', 'file', '/var/lib/libvirt/images/web-01.qcow2', 'qcow2'],
      ['vdb', 'disk', 'block', '/dev/vg0/web-01-data', 'raw'],
      ['sda', 'cdrom', 'file', '/var/lib/libvirt/images/seed.iso', 'raw'],
    ]);
    expect(facts.disks.map((each) => [each.readonly, each.shareable])).toEqual([
      [false, false],
      [false, true],
      [true, false],
    ]);
    expect(facts.nics).toEqual([
      { mac: '52:54:00:aa:bb:01', kind: 'bridge', sourceName: 'br0' },
      { mac: '52:54:00:aa:bb:02', kind: 'network', sourceName: 'default' },
    ]);
  });

  it('names host files and devices that cannot follow', () => {
    const facts = DomainDocument.parse(fixture('uefi-desktop')).facts();
    expect(facts).toMatchObject({ name: 'desktop & games', memoryBytes: 8 * 1024 ** 3, vcpus: 4 });
    expect(facts.disks[0]!.path).toBe("/srv/vms/with space/desktop's.img");
    expect(facts.hostFiles).toEqual([
      { role: 'loader', path: '/usr/share/OVMF/OVMF_CODE_4M.ms.fd' },
      { role: 'rom', path: '/srv/roms/gpu.rom' },
      { role: 'other', path: '/srv/conf/ignition.json' },
    ]);
    expect(facts.fixedDevices).toEqual([
      'hostdev pci 0000:03:00.0',
      'hostdev usb 046d:c52b',
      'filesystem /srv/share',
      'shmem looking-glass',
    ]);
    expect(facts.nics).toEqual([{ mac: '52:54:00:01:02:03', kind: 'other', sourceName: '' }]);
  });

  it('reads network disks, volumes, chains and empty drives', () => {
    const { disks, memoryBytes, arch } = DomainDocument.parse(fixture('cluster-storage')).facts();
    expect([memoryBytes, arch]).toEqual([4 * 1024 ** 3, 'aarch64']);
    expect(disks[0]).toMatchObject({ kind: 'network', path: 'rbd:vms/9c4c1f0e_disk' });
    expect(disks[1]).toMatchObject({
      kind: 'file',
      path: '',
      pool: 'default',
      volume: 'extra.qcow2',
    });
    expect(disks[2]!.backing).toEqual(['/images/middle.qcow2', '/images/base.img']);
    expect(disks[3]).toMatchObject({ kind: 'none', device: 'cdrom', path: '' });
  });

  it('counts memory in the units that libvirt knows', () => {
    const inUnit = (unit: string): number =>
      DomainDocument.parse(tiny('').replace('<memory>', `<memory unit='${unit}'>`)).facts()
        .memoryBytes;
    expect(['b', 'KB', 'KiB', 'MB', 'MiB', 'GiB'].map(inUnit)).toEqual([
      1024,
      1024e3,
      1024 ** 2,
      1024e6,
      1024 ** 3,
      1024 ** 4,
    ]);
    expect(() => inUnit('parsec')).toThrow(/memory/);
  });

  it('tells of slices and snapshots, whose bytes alone are not enough', () => {
    const of = (inner: string): string[] =>
      DomainDocument.parse(tiny(`<disk type='file'>${inner}<target dev='vda'/></disk>`)).facts()
        .fixedDevices;
    expect(of("<source file='/a'><slices/></source>")).toEqual(['disk vda as a slice of a file']);
    expect(of("<source name='p/i'><snapshot name='s'/></source>")).toEqual([
      'disk vda as the snapshot s of an image',
    ]);
  });
});

describe('edits', () => {
  it('mends a definition for the target and touches nothing else', () => {
    const document = DomainDocument.parse(fixture('cloud-guest'));
    document.mendForTarget({
      disks: [
        { name: 'vda', path: '/pool/web-01-vda.raw', kind: 'file', format: 'raw' },
        { name: 'vdb', path: '/pool/web-01-vdb', kind: 'file' },
      ],
      note,
    });
    const before = DomainDocument.parse(fixture('cloud-guest')).facts();
    const after = DomainDocument.parse(document.toString()).facts();
    const [vda, vdb, sda] = before.disks;
    expect(after).toEqual({
      ...before,
      disks: [
        { ...vda!, path: '/pool/web-01-vda.raw', format: 'raw' },
        { ...vdb!, path: '/pool/web-01-vdb', kind: 'file' },
        sda!,
      ],
    });
    expect(document.toString()).toContain('discard="unmap"');
    expect(document.toString()).toContain('<libosinfo:os id="http://debian.org/debian/12"/>');
  });

  it('leaves nothing of the old place when a disk changes its kind', () => {
    const document = DomainDocument.parse(fixture('cluster-storage'));
    document.setDiskPlace('vda', { kind: 'file', path: '/pool/vda.raw' });
    document.setDiskPlace('vdb', { kind: 'file', path: '/pool/vdb.qcow2' });
    document.setDiskPlace('vdc', { kind: 'block', path: '/dev/vg/vdc' });
    document.removeBackingStore('vdc');
    const facts = document.facts();
    expect(facts.disks.slice(0, 3).map(({ kind, path, backing }) => [kind, path, backing])).toEqual(
      [
        ['file', '/pool/vda.raw', []],
        ['file', '/pool/vdb.qcow2', []],
        ['block', '/dev/vg/vdc', []],
      ],
    );
    expect(facts.disks[1]).not.toHaveProperty('pool');
    expect(document.toString()).not.toMatch(/192\.0\.2\.10|protocol=|middle\.qcow2|username/);
  });

  it('writes one note in its own namespace, in place of an older one', () => {
    const document = DomainDocument.parse(fixture('running-guest'));
    expect(document.note()).toMatchObject({ owner: 'alpha', epoch: 3 });
    document.setNote(note);
    const text = document.toString();
    expect(DomainDocument.parse(text).note()).toEqual(note);
    expect(text.split(metadataNamespace)).toHaveLength(2);
    expect(DomainDocument.parse(tiny('')).note()).toBeUndefined();
  });

  it('keeps a note whose values hold markup', () => {
    const document = DomainDocument.parse(tiny(''));
    document.setNote({ owner: `<b>&"'`, epoch: 1, move: 'a]]>b' });
    expect(DomainDocument.parse(document.toString()).note()).toEqual({
      owner: `<b>&"'`,
      epoch: 1,
      move: 'a]]>b',
    });
  });

  it('removes what only a running domain has', () => {
    const document = DomainDocument.parse(fixture('running-guest'));
    document.removeRuntimeParts();
    const text = document.toString();
    expect(text).not.toMatch(/ id=|index=|vnet3|\/dev\/pts|virtio-disk0|serial0|imagelabel/);
    expect(text).toContain('ua-uplink');
    expect(text).toContain('<cmdline>console=ttyS0</cmdline>');
    const stays = DomainDocument.parse(fixture('cluster-storage'));
    stays.removeRuntimeParts();
    expect(stays.toString()).toContain('svirt_t');
  });

  it('gives a clone its own identity and the emulator its default', () => {
    const document = DomainDocument.parse(fixture('running-guest'));
    const identity = { uuid: '00000000-0000-4000-8000-000000000001', name: 'a <clone>' };
    document.mendForTarget({ disks: [], note, identity, emulator: 'default' });
    expect(DomainDocument.parse(document.toString()).facts()).toMatchObject({
      ...identity,
      emulator: '',
    });
    document.setEmulator({ path: '/usr/libexec/qemu-kvm' });
    expect(document.facts().emulator).toBe('/usr/libexec/qemu-kvm');
  });

  it('refuses a disk that the definition does not have', () => {
    const document = DomainDocument.parse(tiny(disk('vda')));
    expect(() => document.setDiskPlace('vdz', { kind: 'file', path: '/x' })).toThrow(/no disk vdz/);
  });
});

describe('hostile definitions', () => {
  it.each([
    [
      'a document type',
      `<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain>&x;</domain>`,
    ],
    ['a lower-case document type', `<!doctype domain><domain/>`],
    ['an undeclared entity', '<domain>&nbsp;</domain>'],
    ['another root', '<network/>'],
    ['nothing', ''],
    ['an open element', '<domain><devices></domain>'],
    ['an attribute twice', `<domain type='a' type='b'/>`],
    ['an undeclared prefix', '<domain><qemu:commandline/></domain>'],
    ['too much', `<domain>${'x'.repeat(256 * 1024)}</domain>`],
    ['too much depth', `<domain>${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}</domain>`],
  ])('refuses %s', (_what, xml) => {
    expect(() => DomainDocument.parse(xml)).toThrow(
      expect.objectContaining({ name: 'XmlError' }) as Error,
    );
  });

  it.each([
    ['a path as disk name', tiny(disk('../../etc'))],
    ['a disk without name', tiny(`<disk type='file'><source file='/x'/></disk>`)],
    ['one disk name twice', tiny(disk('vda') + disk('vda'))],
    ['a memory that is no number', tiny('').replace('1024', '1e9')],
    ['a UUID that is none', tiny('').replace(/<uuid>[^<]*/, '<uuid>../x')],
    [
      'more disks than any VM has',
      tiny(Array.from({ length: 300 }, (_, at) => disk(`vd${at}`)).join('')),
    ],
  ])('refuses to read %s', (_what, xml) => {
    expect(() => DomainDocument.parse(xml).facts()).toThrow(
      expect.objectContaining({ name: 'XmlError' }) as Error,
    );
  });

  it('does not write control characters that were hidden in references', () => {
    expect(() => DomainDocument.parse(tiny('', '<title>&#0;&#27;</title>')).toString()).toThrow(
      /control/,
    );
  });
});
