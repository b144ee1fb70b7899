import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { hashOnThread } from '../protocols/nbd/index.ts';
import { fitsDirectIo } from './aligned-buffers.ts';
import { lendBuffers } from './buffer-pool.ts';
import { openDirect } from './direct-io.ts';
import { hashBytes, leafBytes, type KnownLeaves } from './hash-tree.ts';
import { RangeSet, type Range } from './range-set.ts';

/** Leaves read at a time: the copy beside it comes first. */
const mostInFlight = 2;

/**
 * Hashes a disk while it is copied to: leaves that are durable as a whole are read back past the page cache, so that
 * verification has less left to do when the copy is over. What it does not come to, or cannot read, verification reads
 * by itself: nothing depends on it but time.
 */
export class TrailingHash implements KnownLeaves {
  readonly #file: FileHandle;
  readonly #sizeBytes: number;
  readonly #durable = new RangeSet();
  readonly #waiting: number[] = [];
  readonly #leaves: Buffer;
  readonly #known: Uint8Array;
  #work: Promise<void> | undefined;
  #isOver = false;

  private constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    const count = Math.ceil(sizeBytes / leafBytes);
    this.#leaves = Buffer.alloc(count * hashBytes);
    this.#known = new Uint8Array(count);
  }

  /** `path`: a raw file or block device that is there; undefined where its bytes cannot be had past the page cache. */
  static async open(path: string, sizeBytes: number): Promise<TrailingHash | undefined> {
    try {
      const file = await openDirect(path, constants.O_RDONLY);
      return file && new TrailingHash(file, sizeBytes);
    } catch {
      // The copy itself says what is wrong with the path, if anything is.
      return undefined;
    }
  }

  /** These bytes are on stable storage now, and are not written again. */
  durable(ranges: readonly Range[]): void {
    for (const { offset, length } of ranges) this.#durable.add(offset, length);
    for (const index of leavesOf(ranges)) {
      const leaf = this.#leafAt(index);
      const isWhole = this.#durable.overlap(leaf.offset, leaf.length) === leaf.length;
      if (isWhole && this.#known[index] === Leaf.unknown) {
        this.#known[index] = Leaf.awaited;
        this.#waiting.push(index);
      }
    }
    this.#start();
  }

  /** SHA-256 of a leaf that was read back whole. */
  get(index: number): Uint8Array | undefined {
    if (this.#known[index] !== Leaf.known) return undefined;
    return this.#leaves.subarray(index * hashBytes, (index + 1) * hashBytes);
  }

  /** Reads no more; what was hashed stays. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#work;
    await this.#file.close();
  }

  #leafAt(index: number): Range {
    const offset = index * leafBytes;
    return { offset, length: Math.min(leafBytes, this.#sizeBytes - offset) };
  }

  #start(): void {
    if (this.#isOver || this.#work !== undefined || this.#waiting.length === 0) return;
    this.#work = this.#hashWaiting().finally(() => {
      this.#work = undefined;
      // Something may have come while the last ones ended.
      this.#start();
    });
  }

  async #hashWaiting(): Promise<void> {
    using loan = lendBuffers(mostInFlight, leafBytes);
    await Promise.all(
      loan.buffers.map(async (buffer) => {
        for (;;) {
          const index = this.#isOver ? undefined : this.#waiting.shift();
          if (index === undefined) return;
          await this.#hash(index, buffer);
        }
      }),
    );
  }

  async #hash(index: number, buffer: Uint8Array<SharedArrayBuffer>): Promise<void> {
    const { offset, length } = this.#leafAt(index);
    const bytes = buffer.subarray(0, length);
    if (!fitsDirectIo(offset, bytes)) return;
    try {
      const { bytesRead } = await this.#file.read(bytes, 0, length, offset);
      if (bytesRead !== length) return;
      this.#leaves.set(await hashOnThread(bytes), index * hashBytes);
      this.#known[index] = Leaf.known;
    } catch {
      // Verification reads this leaf again, and says what is wrong with it.
    }
  }
}

const Leaf = { unknown: 0, awaited: 1, known: 2 } as const;

function leavesOf(ranges: readonly Range[]): Set<number> {
  const touched = new Set<number>();
  for (const { offset, length } of ranges) {
    const last = Math.floor((offset + length - 1) / leafBytes);
    for (let index = Math.floor(offset / leafBytes); index <= last; index++) touched.add(index);
  }
  return touched;
}
