/** The grains of a sparse VMDK: a directory leads to tables, a table to grains, which may be deflated. */
import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import type { BlockMap } from './sparse-disk.ts';
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { corrupt } from './faults.ts';
import { readVmdkLayout, sectorBytes } from './vmdk-header.ts';
import type { VmdkLayout } from './vmdk-header.ts';

const inflated = promisify(inflate) as (
  bytes: Uint8Array,
  options: { maxOutputLength: number; chunkSize: number },
) => Promise<Buffer>;

/** Before a deflated grain: its first sector on the disk (8 bytes), and the length of its data (4 bytes). */
const markerBytes = 12;
/** Tables that are kept: 2 KiB each, for 32 MiB of disk each. */
const maxTablesKept = 2048;
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
  return new VmdkGrains({ bytes, what, layout, directory });
}

interface Parts {
  bytes: Bytes;
  what: string;
  layout: VmdkLayout;
  directory: Buffer;
}

class VmdkGrains implements BlockMap {
  readonly capacityBytes: number;
  readonly blockBytes: number;
  readonly #parts: Parts;
  /** The one that was used last stands last. */
  readonly #kept = new Map<number, Promise<Buffer>>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.capacityBytes = parts.layout.capacityBytes;
    this.blockBytes = parts.layout.grainBytes;
  }

  async run(index: number): Promise<{ zero: boolean; blocks: number }> {
    const { grainsPerTable, tables } = this.#parts.layout;
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
    const { grainBytes, grainsPerTable, compressed } = this.#parts.layout;
    const first = Math.floor(offset / grainBytes);
    const last = Math.floor((offset + into.length - 1) / grainBytes);
    const table = await this.#table(Math.floor(first / grainsPerTable));
    const wanted = Array.from({ length: last - first + 1 }, (_, nth) => {
      const grain = first + nth;
      const from = Math.max(grain * grainBytes, offset);
      const to = Math.min((grain + 1) * grainBytes, offset + into.length);
      return {
        grain,
        place: table.readUInt32LE((grain % grainsPerTable) * 4) * sectorBytes,
        skip: from - grain * grainBytes,
        into: into.subarray(from - offset, to - offset),
      };
    });
    if (compressed) await this.#inflateAll(wanted, signal);
    else await this.#readAll(wanted, signal);
  }

  /** Grains that lie in a row are read at once. */
  async #readAll(wanted: readonly Wanted[], signal: AbortSignal | undefined): Promise<void> {
    for (let at = 0; at < wanted.length;) {
      const first = wanted[at];
      if (first === undefined) break;
      let length = first.into.length;
      let end = at + 1;
      for (; end < wanted.length; end += 1) {
        const next = wanted[end];
        if (next === undefined || next.place !== first.place + first.skip + length) break;
        length += next.into.length;
      }
      const { buffer, byteOffset } = first.into;
      const whole = new Uint8Array(buffer, byteOffset, length);
      await this.#readInside(first.place + first.skip, whole, signal);
      at = end;
    }
  }

  async #inflateAll(wanted: readonly Wanted[], signal: AbortSignal | undefined): Promise<void> {
    const window = await this.#window(wanted, signal);
    const parts = wanted.map(async (one) => {
      const plain = await this.#inflate(one, window, signal);
      one.into.set(plain.subarray(one.skip, one.skip + one.into.length));
    });
    // All have to end before the buffer is the caller's again.
    for (const part of await Promise.allSettled(parts)) {
      if (part.status === 'rejected') throw part.reason;
    }
  }

  /** Who exports a disk writes its grains one after the other: most are read at once, with their markers. */
  async #window(wanted: readonly Wanted[], signal: AbortSignal | undefined): Promise<Window> {
    const { bytes, layout } = this.#parts;
    const from = Math.min(...wanted.map(({ place }) => place));
    const last = Math.max(...wanted.map(({ place }) => place));
    const most = 2 * wanted.length * layout.grainBytes;
    const length = Math.min(last - from + layout.grainBytes, bytes.sizeBytes - from, most);
    if (length <= 0) return { from, data: Buffer.alloc(0) };
    return { from, data: await this.#part(from, length, signal) };
  }

  async #inflate(
    { grain, place, skip, into }: Wanted,
    window: Window,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const { what, layout } = this.#parts;
    const { grainBytes } = layout;
    const marker = await this.#within(window, { place, length: markerBytes }, signal);
    const sector = Number(marker.readBigUInt64LE(0));
    const length = marker.readUInt32LE(8);
    if (sector !== (grain * grainBytes) / sectorBytes || length === 0 || length > 2 * grainBytes) {
      throw corrupt(what, `there is no grain ${grain} where its table says`);
    }
    const data = await this.#within(window, { place: place + markerBytes, length }, signal);
    signal?.throwIfAborted();
    const options = { maxOutputLength: grainBytes, chunkSize: grainBytes };
    const plain = await inflated(data, options).catch((error: unknown) => {
      throw corrupt(what, `its grain ${grain} cannot be inflated`, error);
    });
    if (plain.length >= skip + into.length) return plain;
    throw corrupt(what, `its grain ${grain} has only ${plain.length} bytes`);
  }

  async #within(
    { from, data }: Window,
    { place, length }: { place: number; length: number },
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const at = place - from;
    if (at >= 0 && at + length <= data.length) return data.subarray(at, at + length);
    return this.#part(place, length, signal);
  }

  async #part(offset: number, length: number, signal: AbortSignal | undefined): Promise<Buffer> {
    // Not zeroed first: all of it is read, or it is not given out.
    const part = Buffer.allocUnsafe(length);
    await this.#readInside(offset, part, signal);
    return part;
  }

  async #readInside(
    offset: number,
    into: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { bytes, what } = this.#parts;
    if (offset + into.length > bytes.sizeBytes) throw corrupt(what, 'a grain lies beyond its end');
    await bytes.read(offset, into, signal);
  }

  #tableAt(number: number): number {
    return this.#parts.directory.readUInt32LE(number * 4);
  }

  #isZero(table: Buffer, nth: number): boolean {
    const entry = table.readUInt32LE(nth * 4);
    if (entry === Entry.unallocated) return true;
    return entry === Entry.zero && this.#parts.layout.hasZeroGrains;
  }

  /** Read whoever aborts: another may wait for the same one. */
  #table(number: number): Promise<Buffer> {
    const kept = this.#kept.get(number);
    this.#kept.delete(number);
    const { grainsPerTable } = this.#parts.layout;
    const place = this.#tableAt(number) * sectorBytes;
    const table = kept ?? this.#part(place, grainsPerTable * 4, undefined);
    this.#kept.set(number, table);
    // One that failed is read again by the next who wants it.
    table.catch(() => this.#kept.get(number) === table && this.#kept.delete(number));
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > maxTablesKept && oldest !== undefined) this.#kept.delete(oldest);
    return table;
  }
}

/** A part of a grain, and where its bytes go. */
interface Wanted {
  grain: number;
  /** Of the grain in the file, bytes. */
  place: number;
  /** Bytes of the grain that are not wanted. */
  skip: number;
  into: Uint8Array;
}

/** Bytes of the file that were read ahead. */
interface Window {
  from: number;
  data: Buffer;
}
