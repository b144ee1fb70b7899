/**
 * The header of a sparse VMDK, and the descriptor within (VMware's "Virtual Disk Format 5.0", hosted sparse extents).
 * Both were written by others: what would have data come from another file is refused, and every number is bounded.
 */
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { malformed, quoted, unsupported } from './faults.ts';

export const sectorBytes = 512;

/** What a disk is cut into. */
export interface VmdkShape {
  capacityBytes: number;
  grainBytes: number;
  /** Entries of the directory: grain tables. */
  tables: number;
  /** Grains of a table. */
  grainsPerTable: number;
  /** Grains are deflated, each behind a marker with its place and length. */
  compressed: boolean;
  /** An entry of 1 stands for a grain of zeroes. */
  hasZeroGrains: boolean;
}

/** Where the grains of a disk are. */
export interface VmdkLayout extends VmdkShape {
  /** Of the grain directory in the file, bytes. */
  directoryOffset: number;
}

const headerBytes = 512;
const footerBytes = 1024;
/** What a directory's offset says if it stands in a footer: the file was written in one go. */
const atEnd = 0xffff_ffff_ffff_ffffn;
/** 62 TiB are VMware's most. */
const maxCapacityBytes = 64 * 1024 ** 4;
const maxGrainBytes = 2 * 1024 * 1024;
const maxGrainsPerTable = 512;
/** 16 MiB of directory. Grains of 64 KiB need half of it for the largest disk. */
const maxTables = 4 * 1024 * 1024;
const maxDescriptorBytes = 64 * 1024;

const Flag = { zeroGrains: 1 << 2, compressed: 1 << 16, markers: 1 << 17 } as const;
const deflate = 1;

export const isVmdk = (start: Buffer): boolean => start.toString('latin1', 0, 4) === 'KDMV';

/** The disk's size by the first 512 bytes of its image. Throws `ova-malformed`. */
export function vmdkCapacity(start: Buffer, what: string): number {
  const sectors = start.length < headerBytes ? 0n : start.readBigUInt64LE(12);
  const capacityBytes = Number(sectors) * sectorBytes;
  // QEMU reads a header that states no size as one that leads to other files.
  if (capacityBytes === 0 || capacityBytes > maxCapacityBytes) {
    throw malformed(what, `its header states a size of ${sectors} sectors`);
  }
  return capacityBytes;
}

/** `what` names the disk in errors. Throws `ova-malformed`, `ova-unsupported`, `source-changed`. */
export async function readVmdkLayout(
  bytes: Bytes,
  what: string,
  signal?: AbortSignal,
): Promise<VmdkLayout> {
  if (bytes.sizeBytes < headerBytes) throw malformed(what, 'it is too short for a VMDK');
  const head = await readPart(bytes, { offset: 0, length: headerBytes }, signal);
  if (!isVmdk(head)) throw malformed(what, 'it is no sparse VMDK');
  await checkDescriptor({ bytes, head, what }, signal);
  if (head.readBigUInt64LE(56) !== atEnd) return layoutOf(head, { bytes, what });
  if (bytes.sizeBytes < headerBytes + footerBytes) throw malformed(what, 'its footer is cut off');
  const at = { offset: bytes.sizeBytes - footerBytes, length: headerBytes };
  const foot = await readPart(bytes, at, signal);
  if (!isVmdk(foot)) throw malformed(what, 'it has no footer: it was not written to its end');
  if (foot.readBigUInt64LE(56) === atEnd) throw malformed(what, 'its footer names no directory');
  if (foot.readBigUInt64LE(12) !== head.readBigUInt64LE(12)) {
    throw malformed(what, 'its header and its footer state different sizes');
  }
  return layoutOf(foot, { bytes, what });
}

function layoutOf(header: Buffer, { bytes, what }: { bytes: Bytes; what: string }): VmdkLayout {
  const shape = vmdkShape(header, what);
  const most = Number.MAX_SAFE_INTEGER;
  const directoryOffset = sectorsAt(header, { offset: 56, name: 'directory', most, what });
  if (directoryOffset === 0 || directoryOffset + shape.tables * 4 > bytes.sizeBytes) {
    throw malformed(what, 'its grain directory lies beyond its end');
  }
  return { ...shape, directoryOffset };
}

/** A number of sectors in a header, as bytes. Throws `ova-malformed` if it is more than `most`. */
export function sectorsAt(
  header: Buffer,
  { offset, name, most, what }: { offset: number; name: string; most: number; what: string },
): number {
  const sectors = header.readBigUInt64LE(offset);
  if (sectors * BigInt(sectorBytes) > BigInt(most)) {
    throw malformed(what, `its header states a ${name} of ${sectors} sectors`);
  }
  return Number(sectors) * sectorBytes;
}

/** What a header says wherever the grains are: of a file, or of a stream that is still to come. Throws `ova-malformed`. */
export function vmdkShape(header: Buffer, what: string): VmdkShape {
  const version = header.readUInt32LE(4);
  if (version < 1 || version > 3) throw malformed(what, `it is a VMDK of version ${version}`);
  const flags = header.readUInt32LE(8);
  const capacityBytes = vmdkCapacity(header, what);
  const grainBytes = sectorsAt(header, { offset: 20, name: 'grain', most: maxGrainBytes, what });
  const grainsPerTable = header.readUInt32LE(44);
  if (grainBytes < sectorBytes || (grainBytes & (grainBytes - 1)) !== 0) {
    throw malformed(what, `its grains have ${grainBytes} bytes`);
  }
  if (grainsPerTable < 1 || grainsPerTable > maxGrainsPerTable) {
    throw malformed(what, `its tables have ${grainsPerTable} grains`);
  }
  const tables = Math.ceil(capacityBytes / (grainBytes * grainsPerTable));
  if (tables > maxTables) throw malformed(what, `it has ${tables} grain tables`);
  const compressed = (flags & Flag.compressed) !== 0;
  if (compressed && ((flags & Flag.markers) === 0 || header.readUInt16LE(77) !== deflate)) {
    throw malformed(what, 'its grains are compressed in an unknown way');
  }
  const hasZeroGrains = (flags & Flag.zeroGrains) !== 0;
  return { capacityBytes, grainBytes, grainsPerTable, tables, compressed, hasZeroGrains };
}

interface Described {
  bytes: Bytes;
  head: Buffer;
  what: string;
}

/** Its one extent is the file itself, and it has no parent. Throws `ova-malformed`, `ova-unsupported`. */
export async function checkDescriptor(
  { bytes, head, what }: Described,
  signal: AbortSignal | undefined,
): Promise<void> {
  const sectors = head.readBigUInt64LE(36);
  const offset = Number(head.readBigUInt64LE(28)) * sectorBytes;
  if (offset === 0 || sectors === 0n) return;
  const length = Number(sectors) * sectorBytes;
  if (length > maxDescriptorBytes || offset + length > bytes.sizeBytes) {
    throw malformed(what, 'its descriptor lies beyond its end, or has no sensible size');
  }
  const block = await readPart(bytes, { offset, length }, signal);
  const end = block.indexOf(0);
  refuseForeignData(block.toString('utf8', 0, end === -1 ? length : end), what);
}

/** Throws `ova-unsupported` for a delta and for data that is in other files. */
function refuseForeignData(descriptor: string, what: string): void {
  const value = (key: string): string | undefined =>
    new RegExp(`^\\s*${key}\\s*=\\s*"?([^"\\r\\n]*)"?\\s*$`, 'im').exec(descriptor)?.[1]?.trim();
  const parent = value('parentCID')?.toLowerCase() ?? 'ffffffff';
  const hint = value('parentFileNameHint');
  if (parent !== 'ffffffff' || hint !== undefined) {
    const whose = hint === undefined ? 'another disk' : quoted(hint);
    const why = `it is what changed since a snapshot of ${whose}, not a whole disk`;
    throw unsupported(what, why, 'Delete or consolidate the snapshots of the VM; export it again.');
  }
  const extents = descriptor.match(/^\s*(?:RW|RDONLY|NOACCESS)\s.*$/gim) ?? [];
  const [first, second] = extents;
  if (first === undefined) return;
  if (second !== undefined || !/^\s*(?:RW|RDONLY)\s+\d+\s+SPARSE\s+"[^"]*"\s*$/i.test(first)) {
    throw dataElsewhere(what, (second ?? first).trim());
  }
}

/** A VMDK that is only a list of others, which are not followed. */
export const dataElsewhere = (what: string, extent: string) =>
  unsupported(
    what,
    `its data is in other files, which are not followed (${quoted(extent)})`,
    'Export the VM again with its disks as stream-optimized VMDK, as ovftool does it.',
  );
