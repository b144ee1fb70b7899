/** What a domain's definition says, read from the document without changing it. */
import type { Element } from '@xmldom/xmldom';
import type { KeptState, SecretRef, VmDisk, VmHostFile, VmNic } from '../../domain/vm.ts';
import { checkedCpuOf } from './cpu.ts';
import { definitionSecrets, diskSecrets, isEncrypted, readNetworkPlace } from './domain-network.ts';
import { readChosenFirmware } from './firmware.ts';
import type { ChosenFirmware } from './firmware.ts';
import { readDefinedState } from './kept-state.ts';
import { networkPath } from './network-place.ts';
import { XmlError, attribute, childElements, elementAt, sizeBytesOf, textOf } from './xml.ts';

/** A disk as the definition alone can tell; sizes need the host. */
export type DefinedDisk = Omit<VmDisk, 'capacityBytes' | 'allocationBytes'>;

/** What the definition says of the VM; sizes in bytes. */
export interface DefinedFacts {
  uuid: string;
  name: string;
  memoryBytes: number;
  /** CPUs that are plugged in at the start. */
  vcpus: number;
  domainType: string;
  arch: string;
  machine: string;
  emulator: string;
  disks: DefinedDisk[];
  nics: VmNic[];
  hostFiles: VmHostFile[];
  fixedDevices: string[];
  /** Where libvirt keeps state of this VM; whether it is there only the host knows. */
  keptState: KeptState[];
  /** See `DefinedState`. */
  nvramTemplate: string;
  /** Present where UEFI firmware is left to libvirt. */
  firmware?: ChosenFirmware;
  /** See `checkedCpuOf`. */
  checkedCpu?: string;
  /** Every secret that the definition names. */
  secrets: SecretRef[];
}

const maxDisks = 256;

/** Reads a `<domain>`; throws `XmlError` if what every domain has is missing or malformed. */
export function readDomainFacts(domain: Element): DefinedFacts {
  const type = elementAt(domain, 'os', 'type');
  const uuid = textOf(elementAt(domain, 'uuid')).toLowerCase();
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid))
    throw new XmlError('it has no UUID');
  const name = textOf(elementAt(domain, 'name'));
  if (name === '') throw new XmlError('it has no name');
  const devices = elementAt(domain, 'devices');
  const state = readDefinedState(domain, { name, uuid });
  const firmware = readChosenFirmware(domain);
  const checkedCpu = checkedCpuOf(domain);
  return {
    uuid,
    name,
    memoryBytes: sizeBytesOf(elementAt(domain, 'memory'), 'KiB'),
    vcpus: readVcpus(elementAt(domain, 'vcpu')),
    domainType: attribute(domain, 'type'),
    arch: attribute(type, 'arch'),
    machine: attribute(type, 'machine'),
    emulator: devices === undefined ? '' : textOf(elementAt(devices, 'emulator')),
    disks: readDisks(devices),
    nics: devices === undefined ? [] : childElements(devices, 'interface').map(readNic),
    hostFiles: [...readHostFiles(domain, devices), ...state.hostFiles],
    fixedDevices: [
      ...readFixedDevices(devices),
      ...readLaunchSecurity(domain),
      ...state.fixedDevices,
    ],
    keptState: state.keptState,
    nvramTemplate: state.nvramTemplate,
    ...(firmware === undefined ? {} : { firmware }),
    ...(checkedCpu === undefined ? {} : { checkedCpu }),
    secrets: definitionSecrets(devices),
  };
}

function readVcpus(vcpu: Element | undefined): number {
  const text = attribute(vcpu, 'current') || textOf(vcpu) || '1';
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new XmlError(`<vcpu> holds no count: ${text}`);
  return count;
}

/** The `<disk>` elements by target name; throws `XmlError` where a name is missing, odd or used twice. */
export function diskElements(devices: Element | undefined): Map<string, Element> {
  const byName = new Map<string, Element>();
  const elements = devices === undefined ? [] : childElements(devices, 'disk');
  if (elements.length > maxDisks) throw new XmlError(`it has more than ${maxDisks} disks`);
  for (const element of elements) {
    const name = attribute(elementAt(element, 'target'), 'dev');
    // The name becomes part of file and export names, so a path in it must not pass.
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(name)) {
      throw new XmlError(`a disk has no usable target name: "${name.slice(0, 40)}"`);
    }
    if (byName.has(name)) throw new XmlError(`two disks have the target name ${name}`);
    byName.set(name, element);
  }
  return byName;
}

const readDisks = (devices: Element | undefined): DefinedDisk[] =>
  [...diskElements(devices)].map(([name, element]) => readDisk(name, element));

function readDisk(name: string, element: Element): DefinedDisk {
  const source = elementAt(element, 'source');
  const kind = diskKind(attribute(element, 'type'), source);
  const device = attribute(element, 'device');
  const cache = attribute(elementAt(element, 'driver'), 'cache');
  const network = kind === 'network' ? readNetworkPlace(element, source) : undefined;
  const secrets = diskSecrets(element);
  const encrypted = isEncrypted(element);
  const disk: DefinedDisk = {
    name,
    device: device === 'cdrom' || device === 'floppy' || device === 'lun' ? device : 'disk',
    kind,
    path:
      network === undefined
        ? attribute(source, 'file') || attribute(source, 'dev')
        : networkPath(network),
    ...(network === undefined ? {} : { network }),
    ...(secrets.length === 0 ? {} : { secrets }),
    ...(encrypted ? { encrypted } : {}),
    ...(cache === '' ? {} : { cache }),
    format: attribute(elementAt(element, 'driver'), 'type') || 'raw',
    readonly: elementAt(element, 'readonly') !== undefined || device === 'cdrom',
    shareable: elementAt(element, 'shareable') !== undefined,
    backing: readBacking(element),
  };
  const pool = attribute(source, 'pool');
  const volume = attribute(source, 'volume');
  return pool === '' || volume === '' ? disk : { ...disk, pool, volume };
}

function diskKind(type: string, source: Element | undefined): VmDisk['kind'] {
  if (source === undefined) return 'none';
  if (type === 'block') return attribute(source, 'dev') === '' ? 'none' : 'block';
  if (type === 'network') return 'network';
  // A volume is found through its pool; the host says later whether it is a file or a device.
  if (type === 'volume') return 'file';
  return type === 'file' && attribute(source, 'file') !== '' ? 'file' : 'none';
}

/** The chain that the definition states; libvirt's own reading of the images may know more. */
function readBacking(disk: Element): string[] {
  const paths: string[] = [];
  let store = elementAt(disk, 'backingStore');
  for (let depth = 0; store !== undefined && depth < 32; depth += 1) {
    const source = elementAt(store, 'source');
    const path = attribute(source, 'file') || attribute(source, 'dev') || attribute(source, 'name');
    if (path !== '') paths.push(path);
    store = elementAt(store, 'backingStore');
  }
  return paths;
}

function readNic(element: Element): VmNic {
  const type = attribute(element, 'type');
  const source = elementAt(element, 'source');
  const mac = attribute(elementAt(element, 'mac'), 'address').toLowerCase();
  if (type === 'bridge') return { mac, kind: 'bridge', sourceName: attribute(source, 'bridge') };
  if (type === 'network') return { mac, kind: 'network', sourceName: attribute(source, 'network') };
  return { mac, kind: 'other', sourceName: '' };
}

function readHostFiles(domain: Element, devices: Element | undefined): VmHostFile[] {
  const os = elementAt(domain, 'os');
  const files: VmHostFile[] = [];
  const add = (role: VmHostFile['role'], path: string): void => {
    if (path.startsWith('/')) files.push({ role, path });
  };
  for (const role of ['kernel', 'initrd', 'dtb', 'loader'] as const) {
    if (os !== undefined) add(role, textOf(elementAt(os, role)));
  }
  if (os !== undefined) add('other', textOf(elementAt(os, 'acpi', 'table')));
  // Variables of newer libvirt versions, in a format that is not carried yet.
  if (os !== undefined) add('other', attribute(elementAt(os, 'varstore'), 'path'));
  for (const element of devices === undefined ? [] : childElements(devices)) {
    add('rom', attribute(elementAt(element, 'rom'), 'file'));
    // Ceph's own configuration: QEMU reads it on the host that the VM starts on.
    add('other', attribute(elementAt(element, 'source', 'config'), 'file'));
  }
  for (const path of commandLinePaths(domain)) add('other', path);
  return files;
}

/** Arguments passed to QEMU past libvirt may name files of the host that nothing else shows. */
function commandLinePaths(domain: Element): string[] {
  const command = childElements(domain).find((element) => element.localName === 'commandline');
  if (command === undefined) return [];
  return childElements(command).flatMap((argument) => {
    const value = attribute(argument, 'value');
    return [...value.matchAll(/(?:^|[=:])(\/[^,]+)/g)].map((match) => match[1] ?? '');
  });
}

/** Devices that are bound to the host or keep state that no disk holds; see `VmFacts.fixedDevices`. */
function readFixedDevices(devices: Element | undefined): string[] {
  if (devices === undefined) return [];
  return childElements(devices).flatMap((element) => fixedDevice(element) ?? []);
}

function fixedDevice(element: Element): string | undefined {
  const type = attribute(element, 'type');
  switch (element.nodeName) {
    case 'hostdev':
      return `hostdev ${type || attribute(element, 'mode')} ${hostAddress(element)}`.trim();
    case 'filesystem':
      return `filesystem ${textlessSource(element)}`.trim();
    case 'shmem':
      return `shmem ${attribute(element, 'name')}`.trim();
    case 'lease':
      return `lease ${textOf(elementAt(element, 'key'))}`.trim();
    case 'interface':
      return type === 'hostdev' || type === 'vdpa' || type === 'vhostuser'
        ? `interface ${type}`
        : undefined;
    case 'disk':
      return fixedDisk(element, type);
    case 'input':
      return type === 'passthrough' || type === 'evdev' ? `input ${type}` : undefined;
    case 'smartcard':
      return attribute(element, 'mode').startsWith('host') ? 'smartcard host' : undefined;
    case 'memory': {
      const path = textOf(elementAt(element, 'source', 'path'));
      return path === '' ? undefined : `memory ${attribute(element, 'model')} ${path}`;
    }
    default:
      return undefined;
  }
}

/** Disks whose meaning is not the bytes of one file, device or image. */
function fixedDisk(element: Element, type: string): string | undefined {
  const name = attribute(elementAt(element, 'target'), 'dev');
  if (type === 'nvme' || type === 'vhostuser' || type === 'dir')
    return `disk ${name} of type ${type}`;
  if (elementAt(element, 'source', 'slices') !== undefined)
    return `disk ${name} as a slice of a file`;
  const snapshot = elementAt(element, 'source', 'snapshot');
  return snapshot === undefined
    ? undefined
    : `disk ${name} as the snapshot ${attribute(snapshot, 'name')} of an image`;
}

const readLaunchSecurity = (domain: Element): string[] => {
  const security = elementAt(domain, 'launchSecurity');
  return security === undefined ? [] : [`launchSecurity ${attribute(security, 'type')}`];
};

const textlessSource = (element: Element): string => {
  const source = elementAt(element, 'source');
  return ['dir', 'file', 'dev', 'name', 'socket'].map((name) => attribute(source, name)).join('');
};

/** `0000:03:00.0` for PCI, `1d6b:0002` for USB by vendor, else empty. */
function hostAddress(element: Element): string {
  const address = elementAt(element, 'source', 'address');
  const hex = (name: string): string => attribute(address, name).replace(/^0x/, '');
  if (attribute(address, 'uuid') !== '') return attribute(address, 'uuid');
  if (hex('slot') !== '') {
    return `${hex('domain').padStart(4, '0')}:${hex('bus').padStart(2, '0')}:${hex('slot').padStart(2, '0')}.${hex('function')}`;
  }
  const vendor = attribute(elementAt(element, 'source', 'vendor'), 'id').replace(/^0x/, '');
  const product = attribute(elementAt(element, 'source', 'product'), 'id').replace(/^0x/, '');
  return vendor === '' ? '' : `${vendor}:${product}`;
}
