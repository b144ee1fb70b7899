/** A flat disk on a datastore as a disk to read: ranges side by side on connections that stay. */
import type { DiskSource, Extent } from '../../domain/platform.ts';
import type { DatastoreFile } from './datastore-file.ts';

export interface FolderSourceOptions {
  file: Pick<DatastoreFile, 'readInto'>;
  /** Of the disk's first byte in the file. */
  startBytes: number;
  sizeBytes: number;
  parallelism: number;
  close: () => Promise<void>;
}

/** Larger ranges gain nothing, and cost more to read again after a loss. */
const requestBytes = 4 * 1024 * 1024;

export class FolderSource implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism: number;
  readonly #options: FolderSourceOptions;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.sizeBytes = options.sizeBytes;
    this.parallelism = options.parallelism;
  }

  /** The server does not tell what is allocated: all of it is data until it is read. */
  // eslint-disable-next-line @typescript-eslint/require-await -- the interface's other implementations have to wait
  async *extents(offset: number, length: number): AsyncIterable<Extent> {
    if (length > 0) yield { offset, length, zero: false };
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { file, startBytes } = this.#options;
    if (offset < 0 || offset + into.length > this.sizeBytes) {
      throw new RangeError(
        `${offset}+${into.length} is not within the disk's ${this.sizeBytes} bytes`,
      );
    }
    const parts: Promise<void>[] = [];
    for (let at = 0; at < into.length; at += requestBytes) {
      const part = into.subarray(at, Math.min(at + requestBytes, into.length));
      parts.push(file.readInto(startBytes + offset + at, part, signal));
    }
    // All of them: the caller's buffer is free again only when none writes to it any more.
    const results = await Promise.allSettled(parts);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async close(): Promise<void> {
    await this.#options.close();
  }
}
