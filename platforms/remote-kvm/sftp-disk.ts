/** A raw disk as a file read by SFTP: every byte of it, for SFTP knows no holes. */
import type { DiskSource, Extent } from '../../domain/platform.ts';
import type { SshLane } from '../ssh/lane.ts';
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
    const lanes = host.lanes(parallelism);
    // Nothing is read, but the file is opened.
    const nothing = { offset: 0, into: new Uint8Array(0) };
    const [stamp] = await Promise.all(lanes.map((lane) => lane.read(path, nothing)));
    if (stamp === undefined) throw new RangeError('a host has one lane at least');
    return new SftpDisk({ lanes, path, sizeBytes: stamp.sizeBytes, place });
  } catch (error) {
    throw diskFault(place, error);
  }
}

interface SftpDiskParts {
  /** The host's, which ends them. */
  lanes: readonly SshLane[];
  path: string;
  sizeBytes: number;
  place: DiskPlace;
}

export class SftpDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism = parallelism;
  readonly #parts: SftpDiskParts;
  #next = 0;

  constructor(parts: SftpDiskParts) {
    this.#parts = parts;
    this.sizeBytes = parts.sizeBytes;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what others have to ask for is known here
  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    if (length > 0) yield { offset, length, zero: false };
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { lanes, path, place } = this.#parts;
    const lane = lanes[this.#next++ % lanes.length];
    try {
      signal?.throwIfAborted();
      await lane?.read(path, { offset, into }, signal);
    } catch (error) {
      throw diskFault(place, error);
    }
  }

  async close(): Promise<void> {
    // What is open ends with the lanes.
  }
}
