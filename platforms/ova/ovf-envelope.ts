/** What an OVF envelope declares outside of its machines: files, disks and the machines themselves. */
import type { Element } from '@xmldom/xmldom';
import { malformed, quoted } from './faults.ts';
import type { StatedFormat } from './image.ts';
import { bytesOf, unitBytes, wholeNumber } from './ovf-units.ts';
import { attribute, childText, children, ovfChildren, parseOvfXml, parts } from './ovf-xml.ts';

/** A file of the package. */
export interface OvfFile {
  href: string;
  /** As stated; 0 if it is not. */
  sizeBytes: number;
  gzip: boolean;
  /** Bytes of each part but the last, if the file is cut into `href.000000000` and so on; 0 if it is whole. */
  chunkBytes: number;
}

export interface OvfDisk {
  id: string;
  /** undefined: an empty disk. */
  file?: OvfFile;
  /** As the OVF states it; 0 if it states none that is a number. */
  capacityBytes: number;
  /** Bytes in use; 0 if not stated. */
  populatedBytes: number;
  format: StatedFormat;
  /** It is what changed since another disk. */
  hasParent: boolean;
  encrypted: boolean;
  /** oVirt's: `VirtIO`, `VirtIO_SCSI`, `IDE`, `SATA`; empty in others. */
  interface: string;
  boot: boolean;
}

export interface OvfEnvelope {
  files: Map<string, OvfFile>;
  disks: Map<string, OvfDisk>;
  systems: { id: string; name: string; element: Element }[];
}

const maxSystems = 256;
const maxDisks = 1024;
const maxChunkBytes = 2 ** 44;

/** Parses an OVF; `path` is for errors. Throws `ova-malformed`. */
export function parseEnvelope(bytes: Uint8Array, path: string): OvfEnvelope {
  const root = parseOvfXml(bytes, path);
  const files = filesOf(root, path);
  const disks = disksOf(root, files, path);
  const systems = systemsIn(root, path);
  if (systems.length === 0) throw malformed(path, 'its OVF describes no machine');
  return { files, disks, systems };
}

function filesOf(root: Element, path: string): Map<string, OvfFile> {
  const files = new Map<string, OvfFile>();
  for (const one of children(root, 'References').flatMap((refs) => children(refs, 'File'))) {
    const id = attribute(one, 'id');
    const href = attribute(one, 'href');
    if (id === '' || href === '') throw malformed(path, 'its OVF has a file without name or ID');
    if (files.has(id)) throw malformed(path, `its OVF has two files with the ID ${quoted(id)}`);
    const compression = attribute(one, 'compression').toLowerCase();
    if (!['', 'identity', 'gzip'].includes(compression)) {
      throw malformed(path, `its file ${quoted(href)} is compressed by ${quoted(compression)}`);
    }
    const chunkBytes = wholeNumber(attribute(one, 'chunkSize')) ?? 0;
    if (chunkBytes > maxChunkBytes)
      throw malformed(path, `its file ${quoted(href)} has odd chunks`);
    const sizeBytes = wholeNumber(attribute(one, 'size')) ?? 0;
    files.set(id, { href, sizeBytes, gzip: compression === 'gzip', chunkBytes });
  }
  return files;
}

function disksOf(root: Element, files: Map<string, OvfFile>, path: string): Map<string, OvfDisk> {
  const disks = new Map<string, OvfDisk>();
  for (const one of parts(root, 'DiskSection').flatMap((section) => children(section, 'Disk'))) {
    const disk = diskOf(one, files, path);
    if (disks.has(disk.id)) {
      throw malformed(path, `its OVF has two disks with the ID ${quoted(disk.id)}`);
    }
    if (disks.size >= maxDisks) throw malformed(path, `its OVF has more than ${maxDisks} disks`);
    disks.set(disk.id, disk);
  }
  return disks;
}

function diskOf(one: Element, files: Map<string, OvfFile>, path: string): OvfDisk {
  const id = attribute(one, 'diskId');
  if (id === '') throw malformed(path, 'its OVF has a disk without an ID');
  const reference = attribute(one, 'fileRef');
  const file = reference === '' ? undefined : fileFor(reference, files);
  if (reference !== '' && file === undefined) {
    throw malformed(
      path,
      `its disk ${quoted(id)} is of a file ${quoted(reference)} that is not listed`,
    );
  }
  const stated = attribute(one, 'capacity');
  const unit = attribute(one, 'capacityAllocationUnits') || 'byte';
  if (unitBytes(unit) === undefined) {
    throw malformed(path, `the size of its disk ${quoted(id)} is in ${quoted(unit)}`);
  }
  // oVirt states whole GiB in an attribute of its own.
  const capacityBytes = bytesOf(stated, unit) ?? bytesOf(attribute(one, 'size'), 'GiB') ?? 0;
  const parent = attribute(one, 'parentRef');
  return {
    id,
    ...(file !== undefined && { file }),
    capacityBytes,
    populatedBytes: wholeNumber(attribute(one, 'populatedSize')) ?? 0,
    format: formatOf(one),
    hasParent: parent !== '' && files.get(parent) !== file,
    encrypted: attribute(one, 'encryption') !== '' || /encrypt/i.test(attribute(one, 'format')),
    interface: attribute(one, 'disk-interface'),
    boot: attribute(one, 'boot') === 'true',
  };
}

/** By ID; oVirt names the file by its path. */
const fileFor = (reference: string, files: Map<string, OvfFile>): OvfFile | undefined =>
  files.get(reference) ?? [...files.values()].find(({ href }) => href === reference);

/** oVirt writes VMDK's name for every format, and the true one in `volume-format`. */
function formatOf(disk: Element): StatedFormat {
  const volume = attribute(disk, 'volume-format').toLowerCase();
  if (volume === 'raw') return 'raw';
  if (volume !== '') return 'unknown';
  const format = attribute(disk, 'format').toLowerCase();
  if (format.includes('vmdk')) return 'vmdk';
  if (/vhd(?!x)|virtualserver|linkid=137171/.test(format)) return 'vhd';
  return /[/#.]raw$|^raw$/.test(format) ? 'raw' : 'unknown';
}

function systemsIn(root: Element, path: string): OvfEnvelope['systems'] {
  const found: OvfEnvelope['systems'] = [];
  const seen = new Set<string>();
  const look = (parent: Element): void => {
    const kinds = { systems: parts(parent, 'VirtualSystem'), all: ovfChildren(parent) };
    for (const one of kinds.all) {
      if (kinds.systems.includes(one)) add(one);
      else if (one.localName === 'VirtualSystemCollection') look(one);
    }
  };
  const add = (element: Element): void => {
    const name = childText(element, 'Name', 'ovf');
    const id = attribute(element, 'id') || name;
    if (id === '') throw malformed(path, 'its OVF has a machine without an ID');
    if (seen.has(id)) throw malformed(path, `its OVF has two machines with the ID ${quoted(id)}`);
    if (found.length >= maxSystems) {
      throw malformed(path, `its OVF has more than ${maxSystems} machines`);
    }
    seen.add(id);
    found.push({ id, name: name === '' ? id : name, element });
  };
  look(root);
  return found;
}
