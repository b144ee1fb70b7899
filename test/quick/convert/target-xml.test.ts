import { DOMParser } from '@xmldom/xmldom';
import type { Document, Element } from '@xmldom/xmldom';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conversionInputXml, diskLetters } from '../../../convert/input-xml.ts';
import { targetShape } from '../../../convert/target-shape.ts';
import type { TargetPlan } from '../../../convert/target-shape.ts';
import { targetXml } from '../../../convert/target-xml.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import { foreignDisk, foreignNic, foreignVm, targetPlan } from './foreign-vm.ts';

/** By the line ends of XML 1.0, as libvirt reads: the parser's own rule is that of 1.1. */
const parse = (xml: string): Document =>
  new DOMParser({ normalizeLineEndings: (text) => text.replace(/\r\n?/g, '\n') }).parseFromString(
    xml,
    'text/xml',
  );
const documentOf = (vm: Partial<ForeignVm> = {}, plan: Partial<TargetPlan> = {}): Document =>
  parse(targetXml(targetShape(foreignVm(vm), targetPlan(plan))));
const all = (document: Document, name: string): Element[] => [
  ...document.getElementsByTagName(name),
];
const attributes = (document: Document, name: string, ...of: string[]): (string | null)[][] =>
  all(document, name).map((element) => of.map((one) => element.getAttribute(one)));
const textOf = (document: Document, name: string) => all(document, name)[0]?.textContent;
const targets = (document: Document) =>
  all(document, 'disk').map((disk) => {
    const target = disk.getElementsByTagName('target')[0];
    return [disk.getAttribute('device'), target?.getAttribute('dev'), target?.getAttribute('bus')];
  });

describe("the target's definition", () => {
  it('has the boot disk first, whatever the plan says of order', () => {
    const document = documentOf();
    expect(targets(document)).toEqual([
      ['disk', 'sda', 'scsi'],
      ['disk', 'sdb', 'scsi'],
      ['cdrom', 'sdc', 'sata'],
    ]);
    expect(attributes(document, 'source', 'file', 'dev')[0]).toEqual([null, '/dev/vg/web-1']);
    expect(attributes(document, 'boot', 'order')).toEqual([['1'], ['2']]);
    expect(attributes(document, 'controller', 'model')).toEqual([['virtio-scsi']]);
  });

  it('keeps name, identity, memory, processors and their sockets', () => {
    const document = documentOf();
    expect(textOf(document, 'uuid')).toBe('420e8b8c-1c5e-9d6f-8f3a-9a6d3b1c2e4f');
    expect(textOf(document, 'memory')).toBe(String(2 ** 20));
    expect(textOf(document, 'vcpu')).toBe('4');
    expect(attributes(document, 'topology', 'sockets', 'cores')).toEqual([['2', '2']]);
    const reshaped = documentOf({}, { cpus: 3, memoryBytes: 1025 });
    expect(attributes(reshaped, 'topology', 'sockets', 'cores')).toEqual([['3', '1']]);
    expect(textOf(reshaped, 'memory')).toBe('2');
  });

  it('gives a guest that was not converted devices that every system knows', () => {
    expect(targets(documentOf({}, { converted: false }))[0]).toEqual(['disk', 'sda', 'sata']);
    const old = documentOf({ cdroms: ['', '', ''] }, { converted: false, machine: 'pc' });
    expect(targets(old).map(([, dev, bus]) => `${dev}:${bus}`)).toEqual([
      ...['hda:ide', 'hdb:ide', 'hdc:ide', 'hdd:ide'],
    ]);
    expect(attributes(old, 'model', 'type')[0]).toEqual(['e1000e']);
    const unknown = documentOf({ guestFamily: 'other' }, { converted: false });
    expect(attributes(unknown, 'model', 'type')[0]).toEqual(['rtl8139']);
  });

  it('names disks of virtio apart from the drives', () => {
    const document = documentOf({ cdroms: ['', ''] }, { bus: 'virtio-blk' });
    expect(targets(document).map(([, dev]) => dev)).toEqual(['vda', 'vdb', 'sda', 'sdb']);
    expect(all(document, 'controller')).toEqual([]);
  });

  it('states Secure Boot and TPM, and takes q35 for UEFI', () => {
    const plain = documentOf({ firmware: 'uefi' }, { machine: 'pc' });
    expect(attributes(plain, 'os', 'firmware')).toEqual([['efi']]);
    expect(attributes(plain, 'type', 'machine')[0]).toEqual(['q35']);
    expect(attributes(plain, 'feature', 'name', 'enabled')).toEqual([
      ['enrolled-keys', 'no'],
      ['secure-boot', 'no'],
    ]);
    expect(all(plain, 'tpm')).toEqual([]);
    const secure = documentOf({ firmware: 'uefi', secureBoot: true, tpm: true });
    expect(attributes(secure, 'feature', 'enabled')).toEqual([['yes'], ['yes']]);
    expect(attributes(secure, 'smm', 'state')).toEqual([['on']]);
    expect(attributes(secure, 'tpm', 'model')).toEqual([['tpm-crb']]);
    expect(
      all(documentOf({ secureBoot: true, firmware: 'uefi' }, { secureBoot: false }), 'smm'),
    ).toEqual([]);
  });

  it('keeps three drives, empty unless the plan has media', () => {
    const many = documentOf({ cdroms: ['[ds] a.iso', '', 'b', 'c', 'd'] });
    expect(targets(many).filter(([device]) => device === 'cdrom')).toHaveLength(3);
    expect(attributes(many, 'source', 'file').flat().filter(Boolean)).toEqual(['/pool/web-0.raw']);
    const media = documentOf({}, { cdroms: ['/iso/a.iso'] });
    expect(attributes(media, 'source', 'file').flat()).toContain('/iso/a.iso');
  });

  it('keeps MACs, unless it is a clone, and unplugged cables unplugged', () => {
    const nics = [foreignNic('1'), foreignNic('2', { mac: '', connected: false })];
    const document = documentOf({ nics });
    expect(attributes(document, 'mac', 'address')).toEqual([['00:50:56:00:00:01']]);
    expect(attributes(document, 'link', 'state')).toEqual([['down']]);
    expect(all(documentOf({ nics }, { newMacs: true }), 'mac')).toEqual([]);
  });

  it('gives a VM without network an interface on the default network', () => {
    const plan = { defaultNetwork: { kind: 'network', name: 'default' } } as const;
    const document = documentOf({ nics: [] }, plan);
    expect(attributes(document, 'source', 'network').flat()).toContain('default');
  });

  it('runs a Windows by local time, with what Windows looks for where KVM offers it', () => {
    const windows = { guestFamily: 'windows' } as const;
    const document = documentOf(windows, { domainType: 'kvm' });
    expect(attributes(document, 'clock', 'offset')).toEqual([['localtime']]);
    expect(all(document, 'hyperv')).toHaveLength(1);
    expect(all(documentOf(windows), 'hyperv')).toEqual([]);
    expect(attributes(documentOf(), 'clock', 'offset')).toEqual([['utc']]);
  });

  it('is what a hostile name cannot add an element or a value to', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 60 });
    const evil = fc.oneof(
      text,
      fc.constant(`x</name><devices><hostdev/></devices><name>`),
      fc.constant(`'"/>&lt;<!-- ]]>`),
    );
    fc.assert(
      fc.property(evil, evil, (name, path) => {
        const disks = [{ key: '2000', kind: 'file', path, format: 'raw' } as const];
        const shape = targetShape(foreignVm(), targetPlan({ name, disks }));
        let xml: string;
        try {
          xml = targetXml(shape);
        } catch (error) {
          expect(error).toMatchObject({ code: 'xml-value-invalid' });
          return;
        }
        const document = parse(xml);
        expect(textOf(document, 'name')).toBe(name);
        expect(all(document, 'hostdev')).toEqual([]);
        expect(all(document, 'source')[0]?.getAttribute('file')).toBe(path);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a plan that cannot be', () => {
  const shapeOf = (vm: Partial<ForeignVm>, plan: Partial<TargetPlan>) => () =>
    targetShape(foreignVm(vm), targetPlan(plan));
  const disk = { kind: 'file', path: '/x', format: 'raw' } as const;
  const five = ['1', '2', '3', '4', '5'];

  it.each([
    ['network-not-mapped', { nics: [foreignNic('1', { network: 'DMZ' })] }, {}],
    ['network-not-mapped', { nics: [] }, {}],
    ['target-disk-unknown', {}, { disks: [{ ...disk, key: '9' }] }],
    ['target-without-disks', {}, { disks: [] }],
    ['secure-boot-impossible', {}, { secureBoot: true }],
    [
      'too-many-ide-disks',
      { disks: five.map((key) => foreignDisk(key)) },
      { converted: false, machine: 'pc', disks: five.map((key) => ({ ...disk, key })) },
    ],
  ] as [string, Partial<ForeignVm>, Partial<TargetPlan>][])(
    'is refused as %s',
    (code, vm, plan) => {
      expect(shapeOf(vm, plan)).toThrow(expect.objectContaining({ code, handling: 'permanent' }));
    },
  );
});

describe('the definition that the tool reads', () => {
  it('has every overlay in order', () => {
    const overlays = ['/w/disk-0.qcow2', '/w/"disk" & <1>.qcow2'];
    const xml = conversionInputXml({ vm: 'a<b', overlays, firmware: 'uefi' });
    const document = parse(xml);
    expect(attributes(document, 'source', 'file').flat()).toEqual(overlays);
    expect(attributes(document, 'target', 'dev').flat()).toEqual(['sda', 'sdb']);
    expect(textOf(document, 'name')).toBe('a<b');
  });

  it('counts disks as the kernel does', () => {
    expect([0, 25, 26, 51, 52, 701, 702].map(diskLetters)).toEqual([
      ...['a', 'z', 'aa', 'az', 'ba', 'zz', 'aaa'],
    ]);
  });
});
