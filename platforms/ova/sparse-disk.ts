/** A disk image of blocks that may each be there, be zeroes or be compressed: what VMDK, VHD and qcow2 have in common. */
import type { DiskSource, Extent } from '../../domain/platform.ts';
import { hashed } from './hashed.ts';

/** What a format has to tell: where a block is, and what it holds. */
export interface BlockMap {
  readonly capacityBytes: number;
  readonly blockBytes: number;
  /** Whether the block `index` has bytes of its own, and how many blocks from it on are like it, 1 at least. */
  run(index: number): Promise<{ zero: boolean; blocks: number }>;
  /** Fills `into` with a part of blocks that are not zero: from `offset` of the disk on. */
  fill(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>;
}

/** The reads in flight that keep the few threads of Node which inflate busy. */
const parallelism = 4;
/** Filled at once at most: what is read ahead for it is held in memory. */
const fillBytes = 4 * 1024 * 1024;

/** Reads a disk by its map. `close` is what has to be given back with it. */
export class SparseDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism = parallelism;
  readonly #map: BlockMap;
  readonly #close: () => Promise<void>;

  constructor(map: BlockMap, close: () => Promise<void> = () => Promise.resolve()) {
    this.#map = map;
    this.#close = close;
    this.sizeBytes = map.capacityBytes;
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this.sizeBytes, offset, length);
    let open: Extent | undefined;
    for await (const extent of this.#runs(offset, length, signal)) {
      if (open?.zero === extent.zero) {
        open.length += extent.length;
      } else {
        if (open !== undefined) yield open;
        open = extent;
      }
    }
    if (open !== undefined) yield open;
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    checkRange(this.sizeBytes, offset, into.length);
    for await (const run of this.#runs(offset, into.length, signal)) {
      const part = into.subarray(run.offset - offset, run.offset - offset + run.length);
      if (run.zero) part.fill(0);
      for (let at = 0; at < part.length && !run.zero; at += fillBytes) {
        await this.#map.fill(run.offset + at, part.subarray(at, at + fillBytes), signal);
      }
    }
  }

  /** As `read`, and resolves to the SHA-256 of the bytes: the copier asks for it where it is there. */
  async readHashed(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    await this.read(offset, into, signal);
    return hashed(into);
  }

  async close(): Promise<void> {
    await this.#close();
  }

  async *#runs(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const { blockBytes } = this.#map;
    const end = offset + length;
    for (let at = offset; at < end;) {
      signal?.throwIfAborted();
      const index = Math.floor(at / blockBytes);
      const { zero, blocks } = await this.#map.run(index);
      const next = Math.min(end, (index + Math.max(1, blocks)) * blockBytes);
      yield { offset: at, length: next - at, zero };
      at = next;
    }
  }
}

/** A caller that asks beyond the end is wrong. */
export const checkRange = (sizeBytes: number, offset: number, length: number): void => {
  if (offset < 0 || length < 0 || offset + length > sizeBytes) {
    throw new RangeError(`${length} bytes at ${offset} of a disk of ${sizeBytes}`);
  }
};
