/** A machine of an OVF as the rest of vmferry knows it, but for what only its images tell. */
import type { Element } from '@xmldom/xmldom';
import type { ForeignVm } from '../../domain/foreign.ts';
import { malformed, quoted } from './faults.ts';
import { cdromsOf, disksOf, fixedDevicesOf, nicsOf } from './ovf-devices.ts';
import type { PluggedDisk } from './ovf-devices.ts';
import type { OvfEnvelope } from './ovf-envelope.ts';
import { guestSystem } from './ovf-guest.ts';
import { ResourceType, hardwareOf, virtualBoxHardware, vmwareSettings } from './ovf-items.ts';
import type { OvfItem } from './ovf-items.ts';
import { bytesOf, wholeNumber } from './ovf-units.ts';
import { attribute, child, childText, children, parts } from './ovf-xml.ts';

/** A machine without its disks' bytes. */
export interface OvfMachine extends Omit<
  ForeignVm,
  'disks' | 'state' | 'kind' | 'path' | 'snapshots' | 'guestNetwork'
> {
  disks: (PluggedDisk & { boot: boolean })[];
  /** Settings that the guest would ask its platform for (OVF environment). */
  properties: string[];
}

/** Bounds that no machine of today passes. */
const maxCpus = 4096;
const maxMemoryBytes = 64 * 1024 ** 4;

/** `path` is for errors. Throws `ova-malformed`. */
export function machineOf(
  envelope: OvfEnvelope,
  system: OvfEnvelope['systems'][number],
  path: string,
): OvfMachine {
  const { id, name, element } = system;
  const root = element.ownerDocument?.documentElement ?? element;
  const { section, items } = hardwareOf(root, element, path);
  const guest = guestSystem(element);
  const disks = disksOf(items, envelope, path);
  const bootInstance = bootDisk(element);
  return {
    id,
    name,
    uuid: uuidOf(element),
    arch: guest.arch,
    ...cpusOf(items, { path, name }),
    memoryBytes: memoryOf(items, { path, name }),
    ...firmwareOf({ system: element, section, items }),
    guestOs: guest.name,
    guestFamily: guest.family,
    disks: disks.map((one) => ({
      ...one,
      boot: one.disk.boot || (bootInstance !== '' && one.instance === bootInstance),
    })),
    nics: nicsOf(items, element),
    cdroms: cdromsOf(items, envelope.files),
    fixedDevices: fixedDevicesOf(items),
    properties: propertiesOf(element),
  };
}

interface Machine {
  path: string;
  name: string;
}

function cpusOf(
  items: readonly OvfItem[],
  { path, name }: Machine,
): Pick<OvfMachine, 'cpus' | 'coresPerSocket'> {
  let [cpus, coresPerSocket] = [0, 1];
  for (const { type, quantity, element } of items) {
    if (type !== ResourceType.cpu) continue;
    const cim = (child: string): number => wholeNumber(childText(element, child, 'cim')) ?? 1;
    const perSocket = cim('cpu_per_socket');
    cpus += wholeNumber(quantity) ?? cim('num_of_sockets') * perSocket * cim('threads_per_cpu');
    const cores = wholeNumber(childText(element, 'CoresPerSocket', 'vmware')) ?? perSocket;
    coresPerSocket = Math.max(1, cores);
  }
  if (cpus > maxCpus) throw malformed(path, `its machine ${quoted(name)} has ${cpus} CPUs`);
  cpus = Math.max(1, cpus);
  return { cpus, coresPerSocket: cpus % coresPerSocket === 0 ? coresPerSocket : 1 };
}

function memoryOf(items: readonly OvfItem[], { path, name }: Machine): number {
  let total = 0;
  for (const { type, quantity, units } of items) {
    if (type !== ResourceType.memory) continue;
    // Without a unit it is MiB: that is what those meant who left it out.
    const bytes = bytesOf(quantity, units === '' ? 'MiB' : units);
    if (bytes === undefined) {
      const said = quoted(`${quantity} ${units}`);
      throw malformed(path, `the memory of its machine ${quoted(name)} is ${said}`);
    }
    total += bytes;
  }
  if (total > 0 && total <= maxMemoryBytes) return total;
  throw malformed(path, `its machine ${quoted(name)} has ${total} bytes of memory`);
}

interface Parts {
  system: Element;
  section: Element | undefined;
  items: readonly OvfItem[];
}

/** VMware's settings, VirtualBox's own description, oVirt's number of a kind of machine. */
function firmwareOf({
  system,
  section,
  items,
}: Parts): Pick<OvfMachine, 'firmware' | 'secureBoot' | 'tpm'> {
  const settings = vmwareSettings(section);
  const virtualBox = virtualBoxHardware(system);
  const virtualBoxFirmware = attribute(child(virtualBox, 'Firmware'), 'type');
  const biosType = wholeNumber(childText(system, 'BiosType', 'ovf')) ?? 0;
  const secureBoot =
    ['bootoptions.efisecurebootenabled', 'uefi.secureboot.enabled'].some((key) =>
      /^(?:true|1)$/i.test(settings.get(key) ?? ''),
    ) || biosType === Bios.secureBoot;
  const isUefi =
    secureBoot ||
    /efi/i.test(settings.get('firmware') ?? '') ||
    /efi/i.test(virtualBoxFirmware) ||
    biosType === Bios.uefi;
  const tpmType = attribute(child(virtualBox, 'TrustedPlatformModule'), 'type');
  const hasTpm =
    items.some((item) =>
      /tpm/i.test(`${item.subtype} ${childText(item.element, 'Device', 'cim')}`),
    ) || /^v\d/i.test(tpmType);
  return { firmware: isUefi ? 'uefi' : 'bios', secureBoot, tpm: hasTpm };
}

/** oVirt's kinds of machine with OVMF. */
const Bios = { uefi: 3, secureBoot: 4 } as const;

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** VirtualBox's and oVirt's; VMware exports none. */
function uuidOf(system: Element): string {
  const machine = child(system, 'Machine', 'virtualbox');
  const stated = [attribute(machine, 'uuid'), attribute(system, 'id')];
  const clean = stated.map((one) => one.toLowerCase().replaceAll(/[{}]/g, ''));
  return clean.find((one) => uuidPattern.test(one)) ?? '';
}

/** The item that VMware's boot order puts first, if that is a disk; empty otherwise. */
function bootDisk(system: Element): string {
  const [first] = children(system, 'BootOrderSection', 'vmware');
  if (attribute(first, 'type', 'vmware') !== 'disk') return '';
  return attribute(first, 'instanceId', 'vmware');
}

const propertiesOf = (system: Element): string[] =>
  parts(system, 'ProductSection')
    .flatMap((section) => children(section, 'Property'))
    .map((property) => attribute(property, 'key'))
    .filter((key) => key !== '')
    .slice(0, 100);
