/** A disk behind an NBD server of the host: asked about here, and read over lanes if it is large. */
import type { Duplex } from 'node:stream';
import { permanent } from '../../domain/errors.ts';
import type { DiskSource, Extent } from '../../domain/platform.ts';
import { AllocationFlag, openPool } from '../../protocols/nbd/index.ts';
import type { NbdClient, StatusExtent } from '../../protocols/nbd/index.ts';
import { SshError, SshErrorKind } from '../../protocols/ssh/index.ts';
import type { LaneExport } from '../ssh/lane.ts';
import { diskFault } from './faults.ts';
import type { DiskPlace } from './faults.ts';
import type { RemoteHost } from './reach.ts';

export interface NbdDiskOptions {
  place: DiskPlace;
  /** Opens one more way to the server. */
  open: () => Promise<Duplex>;
  exportName: string;
  /** At least 1, at most 16. */
  connections: number;
  /** The same server as a socket of a host, which a large disk is read from over lanes instead. */
  over?: { host: Pick<RemoteHost, 'lanes'>; socket: string };
  signal?: AbortSignal | undefined;
}

/** One request's bytes: a few of them fill the window of an SSH channel. */
const requestBytes = 1024 * 1024;
/** What is asked about at once. */
const statusBytes = 1024 * 1024 * 1024;
const readsPerConnection = 2;
/** Smaller ones are read before the sessions of lanes are there. */
const smallBytes = 64 * 1024 * 1024;

/** Opens it. Throws `source-unreachable`, `source-export-unfit`, and what opening a channel throws. */
export async function openNbdDisk(options: NbdDiskOptions): Promise<NbdDisk> {
  const { place, open, exportName, signal } = options;
  const closing: { close: () => Promise<void> }[] = [];
  const connect = async (): Promise<NbdClient> => {
    const address = { stream: await open(), name: `${place.what} on ${place.host}` };
    const limits = { connectTimeoutMs: 20_000, ...(signal === undefined ? {} : { signal }) };
    const client = await openPool({ address, exportName, ...limits });
    closing.push(client);
    return client;
  };
  try {
    const client = await connect();
    const { sizeBytes } = client.info;
    const lanes = await openLanes(options, sizeBytes);
    closing.push(...lanes);
    if (lanes.some((each) => each.sizeBytes !== sizeBytes)) throw otherSize(place);
    if (lanes.length > 0) return new NbdDisk({ client, place, readers: lanes });
    const readers = [client];
    while (readers.length < countOf(options)) readers.push(await connect());
    return new NbdDisk({ client, place, readers });
  } catch (error) {
    await Promise.all(closing.map((each) => each.close()));
    throw diskFault(place, error);
  }
}

const countOf = ({ connections }: NbdDiskOptions): number => Math.min(Math.max(connections, 1), 16);

/** What a host may have against more logins than one; it is read over that one then. */
const refusals: readonly SshErrorKind[] = [
  ...[SshErrorKind.authentication, SshErrorKind.unreachable, SshErrorKind.lost],
  ...[SshErrorKind.timeout, SshErrorKind.refused],
];

/** A connection in each lane; none where there are none, or the host does not want them. Rejects with what else can go wrong. */
async function openLanes(options: NbdDiskOptions, sizeBytes: number): Promise<LaneExport[]> {
  const { over, exportName, place, signal } = options;
  const count = countOf(options);
  if (over === undefined || sizeBytes < smallBytes || count === 1) return [];
  const from = { socket: over.socket, exportName, host: place.host };
  // Both kinds of export are read-only and change for nobody: each connection sees the same bytes.
  const opening = over.host.lanes(count).map((lane) => lane.openExport(from, signal));
  const opened = await Promise.allSettled(opening);
  const exports = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = opened.find((one) => one.status === 'rejected');
  if (failed === undefined) return exports;
  await Promise.all(exports.map((each) => each.close()));
  const { reason } = failed as { reason: unknown };
  if (reason instanceof SshError && refusals.includes(reason.kind)) return [];
  throw reason;
}

const otherSize = ({ what, host }: DiskPlace): Error =>
  permanent({
    code: 'source-export-unfit',
    message: `${what} on ${host} has another size for each who looks`,
    remedy: 'See what serves it there, and start the copy again.',
    host,
  });

/** A connection to the export. */
type Reader = Pick<LaneExport, 'read' | 'close'>;

interface NbdDiskParts {
  /** Answers for extents. */
  client: NbdClient;
  /** One at least; the client may be among them. */
  readers: readonly Reader[];
  place: DiskPlace;
}

export class NbdDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism: number;
  readonly #client: NbdClient;
  readonly #readers: readonly Reader[];
  readonly #load: number[];
  readonly #place: DiskPlace;

  constructor({ client, readers, place }: NbdDiskParts) {
    this.#client = client;
    this.#readers = readers;
    this.#load = readers.map(() => 0);
    this.#place = place;
    this.sizeBytes = client.info.sizeBytes;
    this.parallelism = readers.length * readsPerConnection;
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
    const { minimum, maximum } = this.#client.info.blockSize;
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
    const all = new Set<Pick<Reader, 'close'>>([this.#client, ...this.#readers]);
    await Promise.all(Array.from(all, (each) => each.close()));
  }

  async #readUnaligned(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { minimum } = this.#client.info.blockSize;
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
      await this.#readers[at]?.read(offset, into, signal);
    } finally {
      this.#load[at] = (this.#load[at] ?? 1) - 1;
    }
  }

  /** Runs from `offset` on, at least one. */
  async #status(offset: number, length: number, signal?: AbortSignal): Promise<StatusExtent[]> {
    const client = this.#client;
    const whole = [{ length, flags: 0 }];
    if (!client.info.metaContexts.has('base:allocation')) return whole;
    try {
      const found = (await client.blockStatus(offset, length, signal)).get('base:allocation') ?? [];
      return found.length === 0 ? whole : found;
    } catch (error) {
      throw diskFault(this.#place, error);
    }
  }
}
