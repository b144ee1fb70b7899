/** Parts of a disk that lie in pieces in its image, and the tables that say where. */
import type { Bytes } from './bytes.ts';
import { corrupt } from './faults.ts';

/** A part of a block, and where its bytes go. */
export interface Piece {
  /** Number of the block on the disk. */
  block: number;
  /** Bytes of the block that are not wanted. */
  skip: number;
  into: Uint8Array;
}

/** Cuts a range of a disk at its blocks. */
export function piecesOf(offset: number, into: Uint8Array, blockBytes: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < into.length;) {
    const block = Math.floor((offset + at) / blockBytes);
    const skip = offset + at - block * blockBytes;
    const part = into.subarray(at, at + blockBytes - skip);
    pieces.push({ block, skip, into: part });
    at += part.length;
  }
  return pieces;
}

/** An image, and how it is called in errors. */
export interface Image {
  bytes: Bytes;
  what: string;
}

/** Reads what has to lie in the image. Throws `ova-corrupt` if it does not. */
async function readInside(
  { bytes, what }: Image,
  { offset, into }: { offset: number; into: Uint8Array },
  signal?: AbortSignal,
): Promise<void> {
  if (offset + into.length > bytes.sizeBytes) throw corrupt(what, 'a block lies beyond its end');
  await bytes.read(offset, into, signal);
}

/** As `readInside`, into a buffer of its own. */
export async function partInside(
  image: Image,
  { offset, length }: { offset: number; length: number },
  signal?: AbortSignal,
): Promise<Buffer> {
  // Not zeroed first: all of it is read, or it is not given out.
  const into = Buffer.allocUnsafe(length);
  await readInside(image, { offset, into }, signal);
  return into;
}

/** Pieces of one buffer, of blocks that are in the image as they are; those that lie in a row are read at once. */
export async function readPieces(
  image: Image,
  pieces: readonly (Piece & { place: number })[],
  signal?: AbortSignal,
): Promise<void> {
  for (let at = 0; at < pieces.length;) {
    const first = pieces[at];
    if (first === undefined) break;
    const offset = first.place + first.skip;
    let length = 0;
    let end = at;
    for (; end < pieces.length; end += 1) {
      const next = pieces[end];
      if (next?.into.byteOffset !== first.into.byteOffset + length) break;
      if (next.place + next.skip !== offset + length) break;
      length += next.into.length;
    }
    const into = new Uint8Array(first.into.buffer, first.into.byteOffset, length);
    await readInside(image, { offset, into }, signal);
    at = end;
  }
}

/** All of them have to end before the buffer is the caller's again. */
export async function settleAll(parts: readonly Promise<void>[]): Promise<void> {
  for (const part of await Promise.allSettled(parts)) {
    if (part.status === 'rejected') throw part.reason;
  }
}

/** Tables of an image by their place, as many as are worth keeping. */
export class Tables {
  readonly #image: Image;
  readonly #length: number;
  readonly #most: number;
  /** The one that was used last stands last. */
  readonly #kept = new Map<number, Promise<Buffer>>();

  /** `length` is of each, `mostBytes` of all that are kept. */
  constructor(image: Image, { length, mostBytes }: { length: number; mostBytes: number }) {
    this.#image = image;
    this.#length = length;
    this.#most = Math.max(1, Math.floor(mostBytes / length));
  }

  /** Read to its end whoever aborts: another may wait for the same one. Throws `ova-corrupt`. */
  at(offset: number): Promise<Buffer> {
    const kept = this.#kept.get(offset);
    this.#kept.delete(offset);
    const table = kept ?? partInside(this.#image, { offset, length: this.#length });
    this.#kept.set(offset, table);
    // One that failed is read again by the next who wants it.
    table.catch(() => this.#kept.get(offset) === table && this.#kept.delete(offset));
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > this.#most && oldest !== undefined) this.#kept.delete(oldest);
    return table;
  }
}
