/** Bytes that are read by position: a file, a part of one, several in a row. */
import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { changed, fileFault, malformed } from './faults.ts';

/** Offsets and sizes are bytes below 2^53. */
export interface Bytes {
  readonly sizeBytes: number;
  /** Fills `into` from `offset` on. Rejects with `source-changed` where there are fewer; may be called concurrently. */
  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>;
}

/** An open regular file, and what tells it from another one and from an earlier state of itself. */
export class OpenFile implements Bytes {
  readonly path: string;
  readonly sizeBytes: number;
  /** Device, inode, size and time of the last write in ns. */
  readonly identity: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, look: BigIntStats) {
    this.path = path;
    this.#handle = handle;
    this.sizeBytes = Number(look.size);
    this.identity = identityOf(look);
  }

  /** Throws `ova-not-found`, `ova-unreadable`, `ova-malformed` if it is no regular file. */
  static async open(path: string): Promise<OpenFile> {
    // Not blocking: a pipe that was laid in place of the file would wait for a writer.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
      (error: unknown) => {
        throw fileFault(path, error);
      },
    );
    try {
      const look = await handle.stat({ bigint: true });
      if (!look.isFile()) throw malformed(path, 'it is no regular file');
      return new OpenFile(path, handle, look);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** For threads of this process that read beside `read`. */
  get descriptor(): number {
    return this.#handle.fd;
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < into.length;) {
      signal?.throwIfAborted();
      const { bytesRead } = await this.#handle
        .read(into, at, into.length - at, offset + at)
        .catch((error: unknown) => {
          throw fileFault(this.path, error);
        });
      if (bytesRead === 0) throw changed(this.path);
      at += bytesRead;
    }
  }

  /** Throws `source-changed` if it was written to, or another file bears its name by now. */
  async checkUnchanged(): Promise<void> {
    const [own, named] = await Promise.all([
      this.#handle.stat({ bigint: true }),
      stat(this.path, { bigint: true }).catch(() => undefined),
    ]);
    const isSame = identityOf(own) === this.identity;
    if (!isSame || named === undefined || identityOf(named) !== this.identity) {
      throw changed(this.path);
    }
  }

  /** Waits for the reads under way. */
  async close(): Promise<void> {
    await this.#handle.close();
  }
}

const identityOf = ({ dev, ino, size, mtimeNs }: BigIntStats): string =>
  `${dev}:${ino}:${size}:${mtimeNs}`;

/** A part of a file: an entry of a tar, or the whole of it. */
export class FileRegion implements Bytes {
  readonly file: OpenFile;
  readonly offset: number;
  readonly sizeBytes: number;

  constructor(file: OpenFile, offset = 0, sizeBytes = file.sizeBytes) {
    this.file = file;
    this.offset = offset;
    this.sizeBytes = sizeBytes;
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (offset < 0 || offset + into.length > this.sizeBytes) throw new RangeError('beyond the end');
    await this.file.read(this.offset + offset, into, signal);
  }
}

/** Parts in a row, as one. */
export class JoinedBytes implements Bytes {
  readonly sizeBytes: number;
  readonly #parts: readonly { from: number; bytes: Bytes }[];

  constructor(parts: readonly Bytes[]) {
    let from = 0;
    this.#parts = parts.map((bytes) => {
      const part = { from, bytes };
      from += bytes.sizeBytes;
      return part;
    });
    this.sizeBytes = from;
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const end = offset + into.length;
    if (offset < 0 || end > this.sizeBytes) throw new RangeError('beyond the end');
    for (const { from, bytes } of this.#parts) {
      const first = Math.max(offset, from);
      const last = Math.min(end, from + bytes.sizeBytes);
      if (first >= last) continue;
      await bytes.read(first - from, into.subarray(first - offset, last - offset), signal);
    }
  }
}

/** A small part, as a buffer of its own. */
export async function readPart(
  bytes: Bytes,
  { offset, length }: { offset: number; length: number },
  signal?: AbortSignal,
): Promise<Buffer> {
  const part = Buffer.alloc(length);
  await bytes.read(offset, part, signal);
  return part;
}
