/** A raw disk as a file read by SFTP: every byte of it, for SFTP knows no holes. */
import type { DiskSource, Extent } from '../../domain/platform.ts';
import type { SftpFile } from '../../protocols/ssh/index.ts';
import { diskFault } from './faults.ts';
import type { DiskPlace } from './faults.ts';
import type { RemoteHost } from './reach.ts';

const parallelism = 4;

/** Opens it. Throws `disk-not-permitted`, `disk-missing`, `disk-io-error`. */
export async function openSftpDisk(
  host: RemoteHost,
  { path, place }: { path: string; place: DiskPlace },
): Promise<SftpDisk> {
  try {
    const files = await host.files();
    const file = await files.open(path);
    return new SftpDisk(file, (await files.stat(path)).sizeBytes, place);
  } catch (error) {
    throw diskFault(place, error);
  }
}

export class SftpDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism = parallelism;
  readonly #file: SftpFile;
  readonly #place: DiskPlace;

  constructor(file: SftpFile, sizeBytes: number, place: DiskPlace) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#place = place;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what others have to ask for is known here
  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    if (length > 0) yield { offset, length, zero: false };
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    try {
      signal?.throwIfAborted();
      await this.#file.read(offset, into);
    } catch (error) {
      throw diskFault(this.#place, error);
    }
  }

  async close(): Promise<void> {
    // A lost session has closed it already.
    await this.#file.close().catch(() => undefined);
  }
}
