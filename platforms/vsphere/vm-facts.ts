/** All that a move has to know of a VM, from its properties. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import type { ForeignVm } from '../../domain/foreign.ts';
import { childOf, childrenOf, textOf } from '../../protocols/soap/index.ts';
import { cdromsOf, fixedDevicesOf, hasTpm, nicsOf } from './devices.ts';
import { disksOf, fileSizesIn } from './disks.ts';
import type { DiskView } from './disks.ts';
import { guestNetworkOf } from './guest-network.ts';
import { countAt, isTrueAt, nameOf, plainAt } from './numbers.ts';
import type { PropertySet } from './properties.ts';
import { stateOf } from './vm-state.ts';

/** What `factsOf` reads. */
export const vmProperties = [
  'name',
  'parent',
  'network',
  'runtime.powerState',
  'config.uuid',
  'config.guestId',
  'config.guestFullName',
  'config.firmware',
  'config.bootOptions',
  'config.hardware',
  'guest.net',
  'guest.ipStack',
  'snapshot',
  'layoutEx.file',
] as const;

export interface FactsContext {
  path: string;
  nameOfNetwork: (key: string) => string;
}

export const devicesOf = (found: PropertySet): readonly XmlElement[] =>
  childrenOf(found.get('config.hardware'), 'device');

/** In their order, with what only vSphere knows of them. */
export const diskViewsOf = (found: PropertySet): DiskView[] =>
  disksOf(devicesOf(found), {
    bootOrder: childrenOf(found.get('config.bootOptions'), 'bootOrder').map((entry) =>
      textOf(entry, 'deviceKey'),
    ),
    fileSizes: fileSizesIn(found.get('layoutEx.file')),
  });

export function factsOf(found: PropertySet, { path, nameOfNetwork }: FactsContext): ForeignVm {
  const hardware = found.get('config.hardware');
  const devices = devicesOf(found);
  const guestOs = found.text('config.guestId');
  return {
    kind: 'vsphere',
    id: found.ref.id,
    name: nameOf(found.text('name')),
    state: stateOf(found.text('runtime.powerState')),
    memoryBytes: countAt(hardware, 'memoryMB') * 2 ** 20,
    cpus: countAt(hardware, 'numCPU'),
    path,
    uuid: uuidOf(found.text('config.uuid')),
    arch: guestOs.startsWith('arm') ? 'aarch64' : 'x86_64',
    coresPerSocket: countAt(hardware, 'numCoresPerSocket') || 1,
    firmware: found.text('config.firmware') === 'efi' ? 'uefi' : 'bios',
    secureBoot: isTrueAt(found.get('config.bootOptions'), 'efiSecureBootEnabled'),
    tpm: hasTpm(devices),
    guestOs: plainAt(found.get('config.guestId')) || plainAt(found.get('config.guestFullName')),
    guestFamily: familyOf(guestOs),
    disks: diskViewsOf(found).map(
      ({ changeId: _id, hasParent: _parent, label: _label, datastore: _store, ...disk }) => disk,
    ),
    nics: nicsOf(devices, nameOfNetwork),
    cdroms: cdromsOf(devices),
    snapshots: snapshotsOf(found.get('snapshot')),
    guestNetwork: guestNetworkOf(found.get('guest.net'), found.get('guest.ipStack')),
    fixedDevices: fixedDevicesOf(devices),
  };
}

const uuidOf = (text: string): string => (/^[0-9a-f-]{36}$/i.test(text) ? text.toLowerCase() : '');

const linux =
  /^(?:debian|ubuntu|rhel|centos|sles|suse|opensuse|fedora|oracleLinux|amazonlinux|coreos|asianux|rockylinux|almalinux|mandr|turboLinux|vmwarePhoton|other\w*Linux|crxPod|redhat|sjds|nld9|oes|flatcar|kylin|miraclelinux|pardus|prolinux|fusionos)/i;

function familyOf(guestId: string): ForeignVm['guestFamily'] {
  if (guestId.startsWith('win')) return 'windows';
  return linux.test(guestId) ? 'linux' : 'other';
}

const mostSnapshots = 512;

/** Names, a parent before its children; vSphere itself allows 32 deep. */
function snapshotsOf(info: XmlElement | undefined): string[] {
  const names: string[] = [];
  const waiting = [...childrenOf(info, 'rootSnapshotList')];
  for (
    let at = waiting.shift();
    at !== undefined && names.length < mostSnapshots;
    at = waiting.shift()
  ) {
    names.push(nameOf(textOf(at, 'name')));
    waiting.unshift(...childrenOf(at, 'childSnapshotList'));
  }
  return names;
}

/** The reference of the snapshot that the VM runs on; undefined if it has none. */
export const currentSnapshotOf = (found: PropertySet): XmlElement | undefined =>
  childOf(found.get('snapshot'), 'currentSnapshot');
