/** A foreign domain's definition in the words that every source platform uses. Pure: nothing is asked of the host. */
import type { Element } from '@xmldom/xmldom';
import type { ForeignDisk, ForeignNic, ForeignVm } from '../../domain/foreign.ts';
import type { VmState } from '../../domain/vm.ts';
import { diskElements, readDomainFacts } from '../libvirt/domain-facts.ts';
import type { DefinedDisk } from '../libvirt/domain-facts.ts';
import { XmlError, attribute, childElements, elementAt, parseXml, textOf } from '../libvirt/xml.ts';

/** What only the way to the bytes has to know of a disk. */
export type DiskSourcePlace = Pick<DefinedDisk, 'kind' | 'path' | 'format' | 'pool' | 'volume'>;

/** A definition, read. Sizes of disks, snapshots and the guest's network are still unknown: 0 and empty. */
export interface ReadDefinition {
  vm: ForeignVm;
  /** By key. */
  places: ReadonlyMap<string, DiskSourcePlace>;
}

const maxTextLength = 256;
const maxNics = 64;

/** Reads what `DomainGetXMLDesc` gave. Throws `XmlError`. */
export function readDefinition(xml: string, state: VmState): ReadDefinition {
  const domain = parseXml(xml, { root: 'domain' }).documentElement;
  if (domain === null) throw new XmlError('it is empty');
  const facts = readDomainFacts(domain);
  const devices = elementAt(domain, 'devices');
  const elements = diskElements(devices);
  const disks = facts.disks.filter(
    ({ device, kind }) => (device === 'disk' || device === 'lun') && kind !== 'none',
  );
  const guestOs = osIdOf(domain);
  const vm: ForeignVm = {
    kind: 'kvm',
    id: facts.uuid,
    uuid: facts.uuid,
    name: facts.name,
    state,
    memoryBytes: facts.memoryBytes,
    cpus: facts.vcpus,
    path: '',
    arch: facts.arch,
    coresPerSocket: coresOf(domain),
    ...firmwareOf(domain),
    tpm: devices !== undefined && elementAt(devices, 'tpm') !== undefined,
    guestOs,
    guestFamily: familyOf(guestOs),
    disks: withBoot(disks.map((disk, index) => readDisk(disk, elements.get(disk.name), index))),
    nics: (devices === undefined ? [] : childElements(devices, 'interface'))
      .slice(0, maxNics)
      .map(readNic),
    cdroms: facts.disks.filter(({ device }) => device === 'cdrom').map(({ path }) => path),
    snapshots: [],
    guestNetwork: [],
    fixedDevices: facts.fixedDevices,
  };
  return { vm, places: new Map(disks.map((disk) => [disk.name, disk])) };
}

interface OrderedDisk extends ForeignDisk {
  order: number;
}

function readDisk(disk: DefinedDisk, element: Element | undefined, index: number): OrderedDisk {
  const bus = attribute(element && elementAt(element, 'target'), 'bus');
  const order = Number(attribute(element && elementAt(element, 'boot'), 'order') || Number.NaN);
  return {
    key: disk.name,
    path: disk.path,
    capacityBytes: 0,
    allocationBytes: 0,
    bus: bus.slice(0, maxTextLength),
    unit: unitOf(element, { bus, index }),
    // Its changes are thrown away when the guest stops, whatever a snapshot holds.
    independent: element !== undefined && elementAt(element, 'transient') !== undefined,
    shared: disk.shareable,
    raw: disk.device === 'lun',
    encrypted: disk.encrypted === true,
    order,
  };
}

/** The lowest order boots, where orders are given; else it is the first disk, as the contract has it. */
function withBoot(disks: readonly OrderedDisk[]): ForeignDisk[] {
  const lowest = Math.min(...disks.map(({ order }) => order).filter((order) => order > 0));
  return disks.map(({ order, ...disk }) => (order === lowest ? { ...disk, boot: true } : disk));
}

/** Where it sits on its controller; disks that are devices of their own (virtio) are counted. */
function unitOf(
  element: Element | undefined,
  { bus, index }: { bus: string; index: number },
): ForeignDisk['unit'] {
  const address = element && elementAt(element, 'address');
  if (attribute(address, 'type') !== 'drive') return { controller: 0, unit: index };
  const number = (name: string): number => {
    const value = Number(attribute(address, name));
    return Number.isSafeInteger(value) && value >= 0 ? value : 0;
  };
  const unit = bus === 'ide' ? number('bus') * 2 + number('unit') : number('unit');
  return { controller: number('controller'), unit };
}

function readNic(element: Element, index: number): ForeignNic {
  const source = elementAt(element, 'source');
  const network = ['network', 'bridge', 'portgroup', 'dev', 'name'].map((key) =>
    attribute(source, key),
  );
  return {
    key: String(index),
    mac: attribute(elementAt(element, 'mac'), 'address').toLowerCase().slice(0, 17),
    network: (network.find((name) => name !== '') ?? '').slice(0, maxTextLength),
    model: attribute(elementAt(element, 'model'), 'type').slice(0, maxTextLength),
    connected: attribute(elementAt(element, 'link'), 'state') !== 'down',
  };
}

function firmwareOf(domain: Element): Pick<ForeignVm, 'firmware' | 'secureBoot'> {
  const os = elementAt(domain, 'os');
  const loader = os && elementAt(os, 'loader');
  const features = os && elementAt(os, 'firmware');
  const isUefi =
    attribute(os, 'firmware') === 'efi' ||
    attribute(loader, 'type') === 'pflash' ||
    // AArch64 and old definitions may name the file alone.
    /(?:OVMF|AAVMF|edk2)/i.test(textOf(loader));
  const asksForIt =
    features !== undefined &&
    childElements(features, 'feature').some(
      (each) => attribute(each, 'name') === 'secure-boot' && attribute(each, 'enabled') === 'yes',
    );
  const secureBoot = isUefi && (attribute(loader, 'secure') === 'yes' || asksForIt);
  return { firmware: isUefi ? 'uefi' : 'bios', secureBoot };
}

function coresOf(domain: Element): number {
  const cores = Number(attribute(elementAt(domain, 'cpu', 'topology'), 'cores') || 1);
  return Number.isSafeInteger(cores) && cores > 0 ? cores : 1;
}

/** The system that the VM was made for, by libosinfo's ID in the metadata; empty if nobody wrote it down. */
function osIdOf(domain: Element): string {
  const metadata = elementAt(domain, 'metadata');
  const notes = metadata === undefined ? [] : childElements(metadata);
  const info = notes.find(({ localName }) => localName === 'libosinfo');
  const os = info && childElements(info).find(({ localName }) => localName === 'os');
  return attribute(os, 'id').slice(0, maxTextLength);
}

/** By a name as libosinfo or a guest agent has it. */
export function familyOf(os: string): ForeignVm['guestFamily'] {
  if (/microsoft\.com|mswindows|^windows\b/i.test(os)) return 'windows';
  return /debian|ubuntu|fedora|redhat|rhel|centos|rocky|alma|suse|oracle|arch|alpine|gentoo|linux|amazon|mageia/i.test(
    os,
  )
    ? 'linux'
    : 'other';
}
