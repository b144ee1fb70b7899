/** Disks, network cards, drives and what cannot come along, out of the items of an OVF. */
import type { Element } from '@xmldom/xmldom';
import type { ForeignDisk, ForeignNic } from '../../domain/foreign.ts';
import { malformed, quoted } from './faults.ts';
import type { OvfDisk, OvfEnvelope, OvfFile } from './ovf-envelope.ts';
import { ResourceType, virtualBoxHardware } from './ovf-items.ts';
import type { OvfItem } from './ovf-items.ts';
import { wholeNumber } from './ovf-units.ts';
import { attribute, childText, children } from './ovf-xml.ts';

/** A disk of a machine: where it is plugged in, and what the envelope says of it. */
export interface PluggedDisk extends Pick<ForeignDisk, 'key' | 'bus' | 'unit'> {
  disk: OvfDisk;
  /** Of its item, as boot orders name it. */
  instance: string;
}

/** In the order of the items. `path` is for errors. Throws `ova-malformed`. */
export function disksOf(
  items: readonly OvfItem[],
  envelope: OvfEnvelope,
  path: string,
): PluggedDisk[] {
  const controllers = controllersOf(items);
  const found: PluggedDisk[] = [];
  for (const item of items) {
    if (item.type !== ResourceType.disk) continue;
    const disk = diskFor(item, envelope);
    if (disk === undefined) {
      throw malformed(
        path,
        `a machine has the disk ${quoted(item.hostResource)}, which is not listed`,
      );
    }
    if (found.some(({ key }) => key === disk.id)) {
      throw malformed(path, `a machine has the disk ${quoted(disk.id)} twice`);
    }
    const controller = controllers.get(item.parent);
    const bus = busByInterface(disk.interface) ?? controller?.bus ?? 'scsi';
    const place = wholeNumber(item.addressOnParent) ?? found.length;
    const unit = { controller: controller?.number ?? 0, unit: place };
    found.push({ key: disk.id, bus, unit, disk, instance: item.id });
  }
  return found;
}

/** `ovf:/disk/ID`, `/disk/ID`, `ovf:/file/ID`; oVirt: the file's path, and the disk's ID as the item's. */
function diskFor(item: OvfItem, { disks, files }: OvfEnvelope): OvfDisk | undefined {
  const [, kind, id = ''] = /^(?:ovf:)?\/(disk|file)\/(.+)$/.exec(item.hostResource) ?? [];
  if (kind === 'disk') return disks.get(id);
  if (kind === 'file') {
    const file = files.get(id);
    return file && [...disks.values()].find((disk) => disk.file === file);
  }
  return (
    disks.get(item.id) ??
    [...disks.values()].find(({ file }) => file?.href === item.hostResource) ??
    disks.get(item.hostResource.replace(/^.*\//, ''))
  );
}

function controllersOf(items: readonly OvfItem[]): Map<string, { bus: string; number: number }> {
  const found = new Map<string, { bus: string; number: number }>();
  const count = new Map<string, number>();
  for (const { id, type, subtype, address } of items) {
    const bus = busOf(type, subtype);
    if (bus === undefined) continue;
    const nth = count.get(bus) ?? 0;
    count.set(bus, nth + 1);
    // VirtualBox gives every controller the address 0.
    const taken = [...found.values()].some(
      (one) => one.bus === bus && String(one.number) === address,
    );
    found.set(id, { bus, number: taken ? nth : (wholeNumber(address) ?? nth) });
  }
  return found;
}

function busOf(type: number, subtype: string): string | undefined {
  if (type === ResourceType.ide) return 'ide';
  if (type === ResourceType.scsi) return 'scsi';
  if (type !== ResourceType.storage) return undefined;
  if (/nvme/i.test(subtype)) return 'nvme';
  return /virtio/i.test(subtype) ? 'virtio' : 'sata';
}

function busByInterface(name: string): string | undefined {
  const buses: Readonly<Record<string, string>> = {
    virtio: 'virtio',
    virtio_scsi: 'scsi',
    spapr_vscsi: 'scsi',
    ide: 'ide',
    sata: 'sata',
  };
  return buses[name.toLowerCase()];
}

/** oVirt's numbers of models; others write names. */
const modelNumbers: Readonly<Record<string, string>> = {
  '1': 'rtl8139',
  '2': 'e1000',
  '3': 'virtio',
};

/** In the order of the items; VirtualBox keeps the MAC addresses in a description of its own. */
export function nicsOf(items: readonly OvfItem[], system: Element): ForeignNic[] {
  const adapters = virtualBoxMacs(system);
  return items
    .filter(({ type }) => type === ResourceType.ethernet)
    .map((item, nth) => {
      const stated = childText(item.element, 'MACAddress', 'cim') || item.address;
      const model = item.subtype.split(/[\s,]+/, 1)[0]?.toLowerCase() ?? '';
      return {
        key: item.id === '' ? `nic${nth}` : item.id,
        mac: macOf(stated) || macOf(adapters[nth] ?? ''),
        network: item.connection,
        model: modelNumbers[model] ?? model,
        connected: item.automatic,
      };
    });
}

function virtualBoxMacs(system: Element): string[] {
  const hardware = virtualBoxHardware(system);
  const network = hardware && children(hardware, 'Network')[0];
  return (network === undefined ? [] : children(network, 'Adapter'))
    .filter((one) => attribute(one, 'enabled') === 'true')
    .map((one) => attribute(one, 'MACAddress'));
}

/** Lower case, with colons; empty if it is no address of one card. */
function macOf(text: string): string {
  const digits = text.toLowerCase().replaceAll(/[:.-]/g, '');
  if (!/^[0-9a-f][02468ace][0-9a-f]{10}$/.test(digits) || /^0+$/.test(digits)) return '';
  return digits.replaceAll(/(..)(?=.)/g, '$1:');
}

/** Media in the drives, by the package's names; an empty drive is an empty string. */
export const cdromsOf = (items: readonly OvfItem[], files: Map<string, OvfFile>): string[] =>
  items
    .filter(({ type }) => type === ResourceType.cd || type === ResourceType.dvd)
    .map(({ hostResource }) => {
      const [, id = ''] = /^(?:ovf:)?\/file\/(.+)$/.exec(hostResource) ?? [];
      return files.get(id)?.href ?? '';
    });

/** Devices of the old host, each a clause. */
export const fixedDevicesOf = (items: readonly OvfItem[]): string[] =>
  items
    .filter(({ subtype }) => /passthrough|sriov|vgpu/i.test(subtype))
    .map(({ subtype, hostResource }) =>
      `PCI passthrough ${quoted(subtype)} ${hostResource === '' ? '' : quoted(hostResource)}`.trim(),
    );
