/** A disk behind an NBD server of the host, read over several forwarded channels at once. */
import type { Duplex } from 'node:stream';
import type { DiskSource, Extent } from '../../domain/platform.ts';
import { AllocationFlag, openPool } from '../../protocols/nbd/index.ts';
import type { NbdClient, StatusExtent } from '../../protocols/nbd/index.ts';
import { diskFault } from './faults.ts';
import type { DiskPlace } from './faults.ts';

export interface NbdDiskOptions {
  place: DiskPlace;
  /** Opens one more way to the server. */
  open: () => Promise<Duplex>;
  exportName: string;
  /** At least 1, at most 16. */
  connections: number;
  signal?: AbortSignal | undefined;
}

/** One request's bytes: a few of them fill the window of an SSH channel. */
const requestBytes = 1024 * 1024;
/** What is asked about at once. */
const statusBytes = 1024 * 1024 * 1024;
const readsPerConnection = 2;

/** Opens it. Throws `source-unreachable`, `source-export-unfit`, and what opening a channel throws. */
export async function openNbdDisk(options: NbdDiskOptions): Promise<NbdDisk> {
  const { place, open, exportName, connections, signal } = options;
  const clients: NbdClient[] = [];
  try {
    const count = Math.min(Math.max(connections, 1), 16);
    while (clients.length < count) {
      const stream = await open();
      const address = { stream, name: `${place.what} on ${place.host}` };
      const limits = { connectTimeoutMs: 20_000, ...(signal === undefined ? {} : { signal }) };
      // Both kinds of export are read-only and change for nobody: each connection sees the same bytes.
      clients.push(await openPool({ address, exportName, ...limits }));
    }
    return new NbdDisk(clients, place);
  } catch (error) {
    await Promise.all(clients.map((client) => client.close()));
    throw diskFault(place, error);
  }
}

export class NbdDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism: number;
  readonly #clients: readonly NbdClient[];
  readonly #load: number[];
  readonly #place: DiskPlace;

  constructor(clients: readonly NbdClient[], place: DiskPlace) {
    this.#clients = clients;
    this.#load = clients.map(() => 0);
    this.#place = place;
    this.sizeBytes = clients[0]?.info.sizeBytes ?? 0;
    this.parallelism = clients.length * readsPerConnection;
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const end = offset + length;
    let open: Extent | undefined;
    for (let at = offset; at < end;) {
      for (const run of await this.#status(at, Math.min(end - at, statusBytes), signal)) {
        const zero = (run.flags & AllocationFlag.zero) !== 0;
        const count = Math.min(run.length, end - at);
        if (count === 0) break;
        if (open?.zero === zero) open.length += count;
        else {
          if (open !== undefined) yield open;
          open = { offset: at, length: count, zero };
        }
        at += count;
      }
    }
    if (open !== undefined) yield open;
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { minimum = 1, maximum = requestBytes } = this.#clients[0]?.info.blockSize ?? {};
    if (offset % minimum !== 0 || into.length % minimum !== 0) {
      return this.#readUnaligned(offset, into, signal);
    }
    const step = Math.min(requestBytes, maximum);
    const reads: Promise<void>[] = [];
    for (let at = 0; at < into.length; at += step) {
      reads.push(this.#readPart(offset + at, into.subarray(at, at + step), signal));
    }
    // All have to end before the buffer is the caller's again.
    for (const read of await Promise.allSettled(reads)) {
      if (read.status === 'rejected') throw diskFault(this.#place, read.reason);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #readUnaligned(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { minimum = 1 } = this.#clients[0]?.info.blockSize ?? {};
    const from = offset - (offset % minimum);
    const to = Math.min(this.sizeBytes, Math.ceil((offset + into.length) / minimum) * minimum);
    const whole = new Uint8Array(to - from);
    await this.read(from, whole, signal);
    into.set(whole.subarray(offset - from, offset - from + into.length));
  }

  async #readPart(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const at = this.#load.indexOf(Math.min(...this.#load));
    this.#load[at] = (this.#load[at] ?? 0) + 1;
    try {
      await this.#clients[at]?.read(offset, into, signal);
    } finally {
      this.#load[at] = (this.#load[at] ?? 1) - 1;
    }
  }

  /** Runs from `offset` on, at least one. */
  async #status(offset: number, length: number, signal?: AbortSignal): Promise<StatusExtent[]> {
    const client = this.#clients[0];
    const whole = [{ length, flags: 0 }];
    if (client?.info.metaContexts.has('base:allocation') !== true) return whole;
    try {
      const found = (await client.blockStatus(offset, length, signal)).get('base:allocation') ?? [];
      return found.length === 0 ? whole : found;
    } catch (error) {
      throw diskFault(this.#place, error);
    }
  }
}
