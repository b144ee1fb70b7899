/**
 * qcow2 images, as oVirt packs them (QEMU's docs/interop/qcow2.txt): whole ones only. What would have data come from
 * another file, a backing image or an external data file, is refused before anything is looked for.
 */
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { corrupt, malformed, unsupported } from './faults.ts';
import { Tables, partInside, piecesOf, readPieces, settleAll } from './pieces.ts';
import type { Image, Piece } from './pieces.ts';
import type { BlockMap } from './sparse-disk.ts';

const inflated = promisify(inflateRaw) as (
  bytes: Uint8Array,
  options: { maxOutputLength: number; chunkSize: number },
) => Promise<Buffer>;

const headerBytes = 104;
const sectorBytes = 512;
const maxCapacityBytes = 64 * 1024 ** 4;
/** 32 MiB of the first table. Clusters of 64 KiB need a thirtieth of it for the largest disk. */
const maxTables = 4 * 1024 * 1024;
const keptTableBytes = 8 * 1024 * 1024;

const placeMask = 0x00ff_ffff_ffff_fe00n;
const compressedBit = 1n << 62n;
const zeroBit = 1n;

/** Features without which an image cannot be read as a whole one: all but a mark of unclean closing. */
const harmlessFeatures = 1n;
const Feature = { damaged: 1n << 1n, dataFile: 1n << 2n } as const;

export const isQcow2 = (start: Buffer): boolean => start.toString('latin1', 0, 4) === 'QFI\u00fb';

/** The disk's size by the image's first bytes. Throws `ova-malformed`. */
export function qcow2Capacity(start: Buffer, what: string): number {
  const size = start.length < headerBytes ? 0n : start.readBigUInt64BE(24);
  if (size > 0n && size <= BigInt(maxCapacityBytes)) return Number(size);
  throw malformed(what, `its header states a size of ${size} bytes`);
}

/** Throws `ova-malformed`, `ova-unsupported`. */
export async function openQcow2(
  bytes: Bytes,
  what: string,
  signal?: AbortSignal,
): Promise<BlockMap> {
  if (bytes.sizeBytes < headerBytes) throw malformed(what, 'it is too short for a qcow2');
  const header = await readPart(bytes, { offset: 0, length: headerBytes }, signal);
  const capacityBytes = qcow2Capacity(header, what);
  const version = header.readUInt32BE(4);
  if (!isQcow2(header) || (version !== 2 && version !== 3)) {
    throw malformed(what, `it is a qcow2 of version ${version}`);
  }
  refuseForeignData(header, { version, what });
  const clusterBits = header.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) {
    throw malformed(what, `its clusters have 2^${clusterBits} bytes`);
  }
  const clusterBytes = 2 ** clusterBits;
  const tables = Math.ceil(capacityBytes / (clusterBytes * (clusterBytes / 8)));
  const offset = Number(header.readBigUInt64BE(40));
  const isInside = offset > 0 && offset + tables * 8 <= bytes.sizeBytes;
  if (tables > maxTables || header.readUInt32BE(36) < tables || !isInside) {
    throw malformed(what, 'its table lies beyond its end, or has no sensible size');
  }
  const directory = await readPart(bytes, { offset, length: tables * 8 }, signal);
  return new Qcow2Clusters({ bytes, what }, { capacityBytes, clusterBits, version }, directory);
}

function refuseForeignData(
  header: Buffer,
  { version, what }: { version: number; what: string },
): void {
  const remedy = 'Export the VM again as a whole, without snapshots, or convert its disks to raw.';
  if (header.readBigUInt64BE(8) !== 0n) {
    throw unsupported(what, 'it lies on another image, which is not followed', remedy);
  }
  if (header.readUInt32BE(32) !== 0) throw unsupported(what, 'it is encrypted', remedy);
  const features = version === 2 ? 0n : header.readBigUInt64BE(72);
  if ((features & Feature.dataFile) !== 0n) {
    throw unsupported(what, 'its data is in another file, which is not followed', remedy);
  }
  if ((features & Feature.damaged) !== 0n) throw corrupt(what, 'QEMU marked it so');
  if ((features & ~harmlessFeatures) !== 0n) {
    throw unsupported(what, `it needs the features 0x${features.toString(16)}`, remedy);
  }
}

interface Layout {
  capacityBytes: number;
  clusterBits: number;
  version: number;
}

class Qcow2Clusters implements BlockMap {
  readonly capacityBytes: number;
  readonly blockBytes: number;
  readonly #image: Image;
  readonly #layout: Layout;
  readonly #directory: Buffer;
  readonly #tables: Tables;

  constructor(image: Image, layout: Layout, directory: Buffer) {
    this.#image = image;
    this.#layout = layout;
    this.#directory = directory;
    this.capacityBytes = layout.capacityBytes;
    this.blockBytes = 2 ** layout.clusterBits;
    this.#tables = new Tables(image, { length: this.blockBytes, mostBytes: keptTableBytes });
  }

  async run(index: number): Promise<{ zero: boolean; blocks: number }> {
    const perTable = this.blockBytes / 8;
    const number = Math.floor(index / perTable);
    if (this.#tableAt(number) === 0) {
      let end = number + 1;
      while (end < this.#directory.length / 8 && this.#tableAt(end) === 0) end += 1;
      return { zero: true, blocks: end * perTable - index };
    }
    const table = await this.#tables.at(this.#tableAt(number));
    const first = index % perTable;
    const zero = this.#isZero(table, first);
    let end = first + 1;
    while (end < perTable && this.#isZero(table, end) === zero) end += 1;
    return { zero, blocks: end - first };
  }

  /** As `run` found them: all of one table, none of them zero. */
  async fill(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const perTable = this.blockBytes / 8;
    const number = Math.floor(offset / this.blockBytes / perTable);
    const table = await this.#tables.at(this.#tableAt(number));
    const whole: (Piece & { place: number })[] = [];
    const packed: Promise<void>[] = [];
    for (const piece of piecesOf(offset, into, this.blockBytes)) {
      const entry = table.readBigUInt64BE((piece.block % perTable) * 8);
      if ((entry & compressedBit) !== 0n) packed.push(this.#inflate(piece, entry, signal));
      else whole.push({ ...piece, place: Number(entry & placeMask) });
    }
    await settleAll([...packed, readPieces(this.#image, whole, signal)]);
  }

  /** The entry holds the data's place, and how many sectors more than one it reaches into. */
  async #inflate(
    { block, skip, into }: Piece,
    entry: bigint,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { what, bytes } = this.#image;
    const placeBits = BigInt(62 - (this.#layout.clusterBits - 8));
    const offset = Number(entry & ((1n << placeBits) - 1n));
    const sectors = Number((entry & (compressedBit - 1n)) >> placeBits) + 1;
    const most = sectors * sectorBytes - (offset % sectorBytes);
    // The last one may end with the file, before its sector does.
    const length = Math.min(most, Math.max(1, bytes.sizeBytes - offset));
    const data = await partInside(this.#image, { offset, length }, signal);
    const options = { maxOutputLength: this.blockBytes, chunkSize: this.blockBytes };
    const plain = await inflated(data, options).catch((error: unknown) => {
      throw corrupt(what, `its cluster ${block} cannot be inflated`, error);
    });
    if (plain.length < skip + into.length) {
      throw corrupt(what, `its cluster ${block} has only ${plain.length} bytes`);
    }
    into.set(plain.subarray(skip, skip + into.length));
  }

  #tableAt(number: number): number {
    return Number(this.#directory.readBigUInt64BE(number * 8) & placeMask);
  }

  #isZero(table: Buffer, nth: number): boolean {
    const entry = table.readBigUInt64BE(nth * 8);
    if ((entry & compressedBit) !== 0n) return false;
    return (entry & placeMask) === 0n || (this.#layout.version > 2 && (entry & zeroBit) !== 0n);
  }
}
