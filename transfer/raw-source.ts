import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { DiskSource, Extent } from '../domain/platform.ts';
import { hashOnThread } from '../protocols/nbd/index.ts';
import { fitsDirectIo, isShared } from './aligned-buffers.ts';
import { isInvalid, openDirect } from './direct-io.ts';
import { fileFault, type FaultPlace } from './faults.ts';
import { openNbdSource, type NbdSource, type NbdSourceOptions } from './nbd-source.ts';
import { sha256, type HashingSource } from './sha256.ts';

export interface RawSourceOptions extends NbdSourceOptions {
  /** The raw file or block device of this host that the export shows. */
  path: string;
  /** Read what the page cache holds: for a disk that another reads at the same time, and that nobody writes. */
  cached?: boolean;
}

/**
 * Opens a raw disk of this host to read. The server by its side holds the lock and knows the holes; aligned bytes come
 * past it and past the page cache, straight from the file: two copies of each byte less. Rejects as `openNbdSource`,
 * or with VmFerryError `disk-io-error` and its like.
 */
export const openRawSource = async ({
  path,
  cached = false,
  ...options
}: RawSourceOptions): Promise<DiskSource> => {
  const server = await openNbdSource(options);
  const { host } = options;
  const place: FaultPlace = { side: 'source', what: path, ...(host !== undefined && { host }) };
  try {
    const access = constants.O_RDONLY;
    // Where there is no direct I/O the server reads as well as anybody.
    const file = cached ? await open(path, access) : await openDirect(path, access);
    return file === undefined ? server : new RawSource(server, file, place);
  } catch (error) {
    await server.close();
    throw await fileFault(place, path, error);
  }
};

class RawSource implements HashingSource {
  readonly sizeBytes: number;
  readonly parallelism: number;
  readonly #server: NbdSource;
  readonly #file: FileHandle;
  readonly #place: FaultPlace;
  #canDirect = true;

  constructor(server: NbdSource, file: FileHandle, place: FaultPlace) {
    this.#server = server;
    this.#file = file;
    this.#place = place;
    this.sizeBytes = server.sizeBytes;
    this.parallelism = server.parallelism;
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    return this.#server.extents(offset, length, signal);
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (await this.#readDirect(offset, into)) return;
    await this.#server.read(offset, into, signal);
  }

  async readHashed(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    if (!(await this.#readDirect(offset, into))) {
      return this.#server.readHashed(offset, into, signal);
    }
    return isShared(into) ? hashOnThread(into) : sha256(into);
  }

  async close(): Promise<void> {
    await Promise.all([this.#file.close(), this.#server.close()]);
  }

  /** False if the server has to do it: the place or the file system does not fit. */
  async #readDirect(offset: number, into: Uint8Array): Promise<boolean> {
    if (!this.#canDirect || !fitsDirectIo(offset, into)) return false;
    let done = 0;
    try {
      while (done < into.length) {
        const { bytesRead } = await this.#file.read(into, done, into.length - done, offset + done);
        // The end of a file of odd length; a short read in its midst need not be aligned any more.
        if (bytesRead === 0 || bytesRead % 4096 !== 0) return false;
        done += bytesRead;
      }
      return true;
    } catch (error) {
      if (!isInvalid(error)) throw await fileFault(this.#place, this.#place.what, error);
      // Some file systems take the flag and refuse the read.
      this.#canDirect = false;
      return false;
    }
  }
}
