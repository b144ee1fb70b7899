/** Bytes that are the disk as they are: all of them data, since a file tells Node nothing of its holes. */
import type { DiskSource, Extent } from '../../domain/platform.ts';
import type { Bytes } from './bytes.ts';
import { hashed } from './hashed.ts';
import { checkRange } from './sparse-disk.ts';

/** What a disk of the package keeps in flight; more gains nothing from one file. */
const parallelism = 4;

export class RawDisk implements DiskSource {
  readonly parallelism = parallelism;
  readonly #bytes: Bytes;
  readonly #close: () => Promise<void>;

  constructor(bytes: Bytes, close: () => Promise<void> = () => Promise.resolve()) {
    this.#bytes = bytes;
    this.#close = close;
  }

  get sizeBytes(): number {
    return this.#bytes.sizeBytes;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the interface is of sources that have to ask
  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    checkRange(this.sizeBytes, offset, length);
    if (length > 0) yield { offset, length, zero: false };
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    checkRange(this.sizeBytes, offset, into.length);
    await this.#bytes.read(offset, into, signal);
  }

  /** As `read`, and resolves to the SHA-256 of the bytes: the copier asks for it where it is there. */
  async readHashed(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    await this.read(offset, into, signal);
    return hashed(into);
  }

  async close(): Promise<void> {
    await this.#close();
  }
}

/** A disk that nothing was ever written to: an OVF may ask for one without a file. */
export class BlankDisk implements DiskSource {
  readonly parallelism = parallelism;
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the interface is of sources that have to ask
  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    checkRange(this.sizeBytes, offset, length);
    if (length > 0) yield { offset, length, zero: true };
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    checkRange(this.sizeBytes, offset, into.length);
    into.fill(0);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
