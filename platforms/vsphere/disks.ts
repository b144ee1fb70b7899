/** A VM's disks in the order in which its firmware meets them. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import type { ForeignDisk } from '../../domain/foreign.ts';
import { childOf, childrenOf, textOf, typeOf } from '../../protocols/soap/index.ts';
import { countAt, countOf, plainAt } from './numbers.ts';
import { referenceAt } from './references.ts';
import type { ManagedRef } from './references.ts';

export interface DiskView extends ForeignDisk {
  /** Of the image on top: its content at one moment, where changes are tracked. */
  changeId: string;
  /** It lies on others: the VM has snapshots, or is a linked clone. */
  hasParent: boolean;
  label: string;
  /** On which its file is. */
  datastore: ManagedRef | undefined;
}

interface Controller {
  bus: string;
  number: number;
  isShared: boolean;
}

const buses: readonly (readonly [RegExp, string])[] = [
  [/SCSI|LsiLogic|BusLogic/, 'scsi'],
  [/IDEController$/, 'ide'],
  [/AHCI|SATA/, 'sata'],
  [/NVME/, 'nvme'],
];
/** As the keys of their disks grow: 2000, 3000, 16000, 31000; what a BIOS without an order of its own begins with. */
const busOrder = ['scsi', 'ide', 'sata', 'nvme'];

/** Of a controller by its type, `ParaVirtualSCSIController`: `scsi`. Undefined for what has no disks. */
export const busOf = (type: string): string | undefined =>
  buses.find(([pattern]) => pattern.test(type))?.[1];

function controllersOf(devices: readonly XmlElement[]): Map<string, Controller> {
  const found = new Map<string, Controller>();
  for (const device of devices) {
    const type = typeOf(device);
    const bus = /Controller$/.test(type) ? busOf(type) : undefined;
    if (bus === undefined) continue;
    const sharing = textOf(device, 'sharedBus');
    found.set(textOf(device, 'key'), {
      bus,
      number: countAt(device, 'busNumber'),
      isShared: sharing !== '' && sharing !== 'noSharing',
    });
  }
  return found;
}

export interface DiskContext {
  /** Keys of disks in the order that the VM's settings give, if they give one. */
  bootOrder: readonly string[];
  /** Bytes of files on the datastores, by name: `[ds1] web/web-flat.vmdk`. */
  fileSizes: ReadonlyMap<string, number>;
}

/** `devices` are those of `config.hardware`. */
export function disksOf(devices: readonly XmlElement[], context: DiskContext): DiskView[] {
  const controllers = controllersOf(devices);
  const disks = devices
    .filter((device) => typeOf(device) === 'VirtualDisk')
    .map((device) => diskOf(device, controllers, context));
  const first = context.bootOrder.find((key) => disks.some((disk) => disk.key === key));
  return disks
    .map((disk) => (disk.key === first ? { ...disk, boot: true } : disk))
    .toSorted(
      (a, b) =>
        busOrder.indexOf(a.bus) - busOrder.indexOf(b.bus) ||
        a.unit.controller - b.unit.controller ||
        a.unit.unit - b.unit.unit,
    );
}

function diskOf(
  device: XmlElement,
  controllers: ReadonlyMap<string, Controller>,
  { fileSizes }: DiskContext,
): DiskView {
  const backing = childOf(device, 'backing');
  const controller = controllers.get(textOf(device, 'controllerKey'));
  const path = plainAt(backing, 'fileName');
  const mode = textOf(backing, 'diskMode');
  const sharing = textOf(backing, 'sharing');
  return {
    key: plainAt(device, 'key'),
    path,
    // Before 5.5 there are only whole KiB.
    capacityBytes: countAt(device, 'capacityInBytes') || countAt(device, 'capacityInKB') * 1024,
    allocationBytes: fileSizes.get(path.replace(/\.vmdk$/, '-flat.vmdk')) ?? 0,
    bus: controller?.bus ?? 'unknown',
    unit: { controller: controller?.number ?? 0, unit: countAt(device, 'unitNumber') },
    independent: mode.startsWith('independent'),
    shared: sharing === 'sharingMultiWriter' || controller?.isShared === true,
    raw: /RawDiskMapping|PartitionedRawDisk/.test(typeOf(backing)),
    encrypted: childOf(backing, 'keyId') !== undefined,
    changeId: plainAt(backing, 'changeId'),
    hasParent: childOf(backing, 'parent') !== undefined,
    label: plainAt(device, 'deviceInfo', 'label'),
    datastore: referenceAt(backing, 'datastore'),
  };
}

/** Sum of the disks' virtual sizes, bytes; for `config.hardware.device` as a list reads it. */
export const diskBytesIn = (devices: readonly XmlElement[]): number =>
  devices
    .filter((device) => typeOf(device) === 'VirtualDisk')
    .map((device) => countAt(device, 'capacityInBytes') || countAt(device, 'capacityInKB') * 1024)
    .reduce((sum, bytes) => sum + bytes, 0);

/** Bytes that files take, by their names. */
export const fileSizesIn = (files: XmlElement | undefined): Map<string, number> =>
  new Map(
    // Named for its type where the list is asked for by itself.
    childrenOf(files).map((file) => [textOf(file, 'name'), countOf(textOf(file, 'size'))]),
  );
