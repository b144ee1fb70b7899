/** The grains of a sparse VMDK: a directory leads to tables, a table to grains, which may be deflated. */
import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { corrupt } from './faults.ts';
import { Tables, partInside, piecesOf, readPieces, settleAll } from './pieces.ts';
import type { Image, Piece } from './pieces.ts';
import type { BlockMap } from './sparse-disk.ts';
import { readVmdkLayout, sectorBytes } from './vmdk-header.ts';
import type { VmdkLayout } from './vmdk-header.ts';

const inflated = promisify(inflate) as (
  bytes: Uint8Array,
  options: { maxOutputLength: number; chunkSize: number },
) => Promise<Buffer>;

/** Before a deflated grain: its first sector on the disk (8 bytes), and the length of its data (4 bytes). */
const markerBytes = 12;
/** Tables for 64 GiB of a disk with grains of 64 KiB. */
const keptTableBytes = 4 * 1024 * 1024;
/** Entries that stand for no place in the file. */
const Entry = { unallocated: 0, zero: 1 } as const;

/** Opens the map of a disk; `what` names it in errors. Throws as `readVmdkLayout`. */
export async function openVmdk(
  bytes: Bytes,
  what: string,
  signal?: AbortSignal,
): Promise<BlockMap> {
  const layout = await readVmdkLayout(bytes, what, signal);
  const { directoryOffset: offset, tables } = layout;
  const directory = await readPart(bytes, { offset, length: tables * 4 }, signal);
  return new VmdkGrains({ bytes, what }, layout, directory);
}

/** Fills a piece with its part of a deflated grain. Throws `ova-corrupt`. */
export async function inflateGrain(
  data: Uint8Array,
  { block, skip, into }: Piece,
  { grainBytes, what }: { grainBytes: number; what: string },
): Promise<void> {
  const options = { maxOutputLength: grainBytes, chunkSize: grainBytes };
  const plain = await inflated(data, options).catch((error: unknown) => {
    throw corrupt(what, `its grain ${block} cannot be inflated`, error);
  });
  if (plain.length < skip + into.length) {
    throw corrupt(what, `its grain ${block} has only ${plain.length} bytes`);
  }
  into.set(plain.subarray(skip, skip + into.length));
}

/** A part of a grain, and where the grain is in the file. */
type Placed = Piece & { place: number };

/** Bytes of the file that were read ahead. */
interface Window {
  from: number;
  data: Buffer;
}

class VmdkGrains implements BlockMap {
  readonly capacityBytes: number;
  readonly blockBytes: number;
  readonly #image: Image;
  readonly #layout: VmdkLayout;
  readonly #directory: Buffer;
  readonly #tables: Tables;

  constructor(image: Image, layout: VmdkLayout, directory: Buffer) {
    this.#image = image;
    this.#layout = layout;
    this.#directory = directory;
    this.capacityBytes = layout.capacityBytes;
    this.blockBytes = layout.grainBytes;
    const length = layout.grainsPerTable * 4;
    this.#tables = new Tables(image, { length, mostBytes: keptTableBytes });
  }

  async run(index: number): Promise<{ zero: boolean; blocks: number }> {
    const { grainsPerTable, tables } = this.#layout;
    const number = Math.floor(index / grainsPerTable);
    if (this.#tableAt(number) === 0) {
      let end = number + 1;
      while (end < tables && this.#tableAt(end) === 0) end += 1;
      return { zero: true, blocks: end * grainsPerTable - index };
    }
    const table = await this.#table(number);
    const first = index % grainsPerTable;
    const zero = this.#isZero(table, first);
    let end = first + 1;
    while (end < grainsPerTable && this.#isZero(table, end) === zero) end += 1;
    return { zero, blocks: end - first };
  }

  /** As `run` found them: all of one table, none of them zero. */
  async fill(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { grainBytes, grainsPerTable, compressed } = this.#layout;
    const table = await this.#table(Math.floor(offset / grainBytes / grainsPerTable));
    const placed = piecesOf(offset, into, grainBytes).map((piece) => {
      const entry = table.readUInt32LE((piece.block % grainsPerTable) * 4);
      return { ...piece, place: entry * sectorBytes };
    });
    if (!compressed) return readPieces(this.#image, placed, signal);
    const window = await this.#window(placed, signal);
    await settleAll(placed.map((piece) => this.#inflate(piece, window, signal)));
  }

  /** Who exports a disk writes its grains one after the other: most are read at once, with their markers. */
  async #window(placed: readonly Placed[], signal: AbortSignal | undefined): Promise<Window> {
    const { bytes } = this.#image;
    const { grainBytes } = this.#layout;
    const from = Math.min(...placed.map(({ place }) => place));
    const last = Math.max(...placed.map(({ place }) => place));
    const most = 2 * placed.length * grainBytes;
    const length = Math.min(last - from + grainBytes, bytes.sizeBytes - from, most);
    if (length <= 0) return { from, data: Buffer.alloc(0) };
    return { from, data: await partInside(this.#image, { offset: from, length }, signal) };
  }

  async #inflate(
    { block, place, skip, into }: Placed,
    window: Window,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { what } = this.#image;
    const { grainBytes } = this.#layout;
    const marker = await this.#within(window, { offset: place, length: markerBytes }, signal);
    const sector = Number(marker.readBigUInt64LE(0));
    const length = marker.readUInt32LE(8);
    if (sector !== (block * grainBytes) / sectorBytes || length === 0 || length > 2 * grainBytes) {
      throw corrupt(what, `there is no grain ${block} where its table says`);
    }
    const data = await this.#within(window, { offset: place + markerBytes, length }, signal);
    signal?.throwIfAborted();
    await inflateGrain(data, { block, skip, into }, { grainBytes, what });
  }

  async #within(
    { from, data }: Window,
    { offset, length }: { offset: number; length: number },
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const at = offset - from;
    if (at >= 0 && at + length <= data.length) return data.subarray(at, at + length);
    return partInside(this.#image, { offset, length }, signal);
  }

  #tableAt(number: number): number {
    return this.#directory.readUInt32LE(number * 4);
  }

  #table(number: number): Promise<Buffer> {
    return this.#tables.at(this.#tableAt(number) * sectorBytes);
  }

  #isZero(table: Buffer, nth: number): boolean {
    const entry = table.readUInt32LE(nth * 4);
    if (entry === Entry.unallocated) return true;
    return entry === Entry.zero && this.#layout.hasZeroGrains;
  }
}
