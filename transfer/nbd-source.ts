import type { Extent } from '../domain/platform.ts';
import {
  AllocationFlag,
  NbdError,
  NbdErrorKind,
  NbdReaders,
  openPool,
  type NbdClient,
  type OpenPoolOptions,
  type StatusExtent,
} from '../protocols/nbd/index.ts';
import { isShared } from './aligned-buffers.ts';
import { nbdFault, type FaultPlace } from './faults.ts';
import { sha256, type HashingSource } from './sha256.ts';

export interface NbdSourceOptions extends Omit<OpenPoolOptions, 'metaContexts'> {
  /** How the disk is called in errors: `disk vda`. */
  what: string;
  /** The host that serves it, for errors. */
  host?: string;
  /**
   * A dirty bitmap's context (`qemu:dirty-bitmap:<name>`). Ranges that it calls clean come as `unchanged`. Or
   * `allocationDepth`: then it is the ranges that the image itself does not hold, only what lies below it.
   * Opening fails if the server does not offer it: without it every byte would seem unchanged, or dirty.
   */
  dirtyContext?: string;
  /** The server is known to allow several connections: they are made beside the first one, not after it. */
  allowsMany?: true;
}

/** Bytes of one request of a large read; larger ones gain nothing (facts: guest conversion, copy tools). */
const requestBytes = 2 * 1024 * 1024;
/** Bytes asked about in one block status request. */
const statusBytes = 1024 * 1024 * 1024;
const dirtyFlag = 1;
/** Of QEMU's exports that were asked for it: 1 is the image's own, data or zeroes; what is deeper, or nowhere, is not. */
export const allocationDepth = 'qemu:allocation-depth';
const ownDepth = 1;
/** One on its way, one being answered, and two that wait for the disk or for their turn to be written. */
const readsPerConnection = 4;

/**
 * Opens an NBD export as a disk to read. Rejects with VmFerryError: `source-unreachable`, `source-tls-refused`,
 * `source-export-refused`, `source-protocol-broken`, `source-export-unfit`.
 */
export const openNbdSource = async (options: NbdSourceOptions): Promise<NbdSource> => {
  const { what, host, dirtyContext, allowsMany, ...pool } = options;
  const place: FaultPlace = { side: 'source', what, ...(host !== undefined && { host }) };
  const metaContexts = ['base:allocation', ...(dirtyContext === undefined ? [] : [dirtyContext])];
  try {
    const { connections = 4, signal, ...reachable } = pool;
    const wanted = { count: connections, signal, early: allowsMany === true };
    const looking = openPool({ ...pool, connections: 1, metaContexts });
    const early = allowsMany === true ? openReaders(reachable, looking, wanted) : undefined;
    // Whoever fails first, what the other one opened is closed below.
    early?.catch(() => undefined);
    const client = await looking;
    try {
      if (dirtyContext !== undefined && !client.info.metaContexts.has(dirtyContext)) {
        throw new NbdError(NbdErrorKind.invalid, `the export does not offer ${dirtyContext}`);
      }
      const readers = await (early ?? openReaders(reachable, looking, wanted));
      return new NbdSource({ client, readers, place, dirtyContext });
    } catch (error) {
      const opened = await early?.catch(() => undefined);
      await Promise.all([opened?.close(), client.close()]);
      throw error;
    }
  } catch (error) {
    throw nbdFault(place, error);
  }
};

/** Several connections are the server's to allow; one needs no thread, and a stream cannot go to another. */
const openReaders = async (
  { address, ...options }: Omit<OpenPoolOptions, 'connections' | 'signal'>,
  looking: Promise<NbdClient>,
  { count, signal, early }: { count: number; signal: AbortSignal | undefined; early: boolean },
): Promise<NbdReaders | undefined> => {
  if ('stream' in address || count < 2) return undefined;
  if (!early && !(await looking).info.canMultiConn) return undefined;
  const look = looking.then(({ info }) => info);
  const readers = await NbdReaders.open({ ...options, address }, { count, look, signal });
  if ((await look).canMultiConn) return readers;
  await readers.close();
  return undefined;
};

interface NbdSourceParts {
  /** Answers for extents, and for reads that no thread can do. */
  client: NbdClient;
  readers: NbdReaders | undefined;
  place: FaultPlace;
  dirtyContext: string | undefined;
}

type Kind = Pick<Extent, 'zero' | 'unchanged'>;

export class NbdSource implements HashingSource {
  readonly sizeBytes: number;
  readonly parallelism: number;
  readonly #client: NbdClient;
  readonly #readers: NbdReaders | undefined;
  readonly #place: FaultPlace;
  readonly #dirtyContext: string | undefined;

  constructor({ client, readers, place, dirtyContext }: NbdSourceParts) {
    this.#client = client;
    this.#readers = readers;
    this.#place = place;
    this.#dirtyContext = dirtyContext;
    this.sizeBytes = client.info.sizeBytes;
    this.parallelism = Math.min((readers?.count ?? 1) * readsPerConnection, client.parallelism);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const end = offset + length;
    let open: Extent | undefined;
    for (let at = offset; at < end;) {
      for (const [run, kind] of await this.#status(at, end - at, signal)) {
        if (open !== undefined && open.zero === kind.zero && open.unchanged === kind.unchanged) {
          open.length += run;
        } else {
          if (open !== undefined) yield open;
          open = { offset: at, length: run, ...kind };
        }
        at += run;
      }
    }
    if (open !== undefined) yield open;
  }

  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#guarded(() => this.#read(offset, into, signal));
  }

  /** In one request where the server takes it; in parts, and hashed here, where not. */
  async readHashed(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#guarded(async () => {
      const readers = this.#readers;
      const { maximum } = this.#client.info.blockSize;
      if (readers !== undefined && isShared(into) && into.length <= maximum) {
        if (this.#isAligned(offset, into.length)) {
          const digest = await readers.read({ offset, into, hashed: true }, signal);
          if (digest !== undefined) return digest;
        }
      }
      await this.#read(offset, into, signal);
      return sha256(into);
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#readers?.close(), this.#client.close()]);
  }

  async #guarded<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw nbdFault(this.#place, error);
    }
  }

  #isAligned(offset: number, length: number): boolean {
    const { minimum } = this.#client.info.blockSize;
    return offset % minimum === 0 && length % minimum === 0;
  }

  async #read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (!this.#isAligned(offset, into.length)) return this.#readUnaligned(offset, into, signal);
    const step = Math.min(requestBytes, this.#client.info.blockSize.maximum);
    const reads: Promise<unknown>[] = [];
    for (let at = 0; at < into.length; at += step) {
      reads.push(this.#readPart(offset + at, into.subarray(at, at + step), signal));
    }
    // All have to end before the buffer is the caller's again.
    for (const read of await Promise.allSettled(reads)) {
      if (read.status === 'rejected') throw read.reason;
    }
  }

  /** Only shared memory can be filled by another thread. */
  #readPart(offset: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<unknown> {
    const readers = this.#readers;
    return readers !== undefined && isShared(into)
      ? readers.read({ offset, into, hashed: false }, signal)
      : this.#client.read(offset, into, signal);
  }

  async #readUnaligned(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { minimum } = this.#client.info.blockSize;
    const step = Math.max(minimum, 64 * 1024);
    const bounce = new Uint8Array(step);
    for (let at = offset - (offset % minimum); at < offset + into.length; at += step) {
      const part = bounce.subarray(0, Math.min(step, this.sizeBytes - at));
      await this.#client.read(at, part, signal);
      const from = Math.max(offset, at);
      const to = Math.min(offset + into.length, at + part.length);
      into.set(part.subarray(from - at, to - at), from - offset);
    }
  }

  /** Runs from `offset` on, at least one, at most `length` bytes in all. */
  async #status(offset: number, length: number, signal?: AbortSignal): Promise<[number, Kind][]> {
    if (this.#client.info.metaContexts.size === 0) return [[length, { zero: false }]];
    try {
      const asked = Math.min(length, statusBytes);
      const status = await this.#client.blockStatus(offset, asked, signal);
      const allocation = status.get('base:allocation') ?? [{ length: asked, flags: 0 }];
      const dirty = this.#dirtyContext === undefined ? undefined : status.get(this.#dirtyContext);
      if (this.#dirtyContext !== undefined && dirty === undefined) {
        throw new NbdError(NbdErrorKind.protocol, `block status without ${this.#dirtyContext}`);
      }
      return runs(asked, allocation, { dirty, isChanged: changeTest(this.#dirtyContext) });
    } catch (error) {
      throw nbdFault(this.#place, error);
    }
  }
}

const changeTest = (context: string | undefined): ((flags: number) => boolean) =>
  context === allocationDepth
    ? (flags) => flags === ownDepth
    : (flags) => (flags & dirtyFlag) !== 0;

interface Marks {
  dirty: readonly StatusExtent[] | undefined;
  isChanged: (flags: number) => boolean;
}

/** Lays the two contexts over each other, up to where both have an answer. */
function runs(
  length: number,
  allocation: readonly StatusExtent[],
  { dirty, isChanged }: Marks,
): [number, Kind][] {
  const out: [number, Kind][] = [];
  const dirtyRuns = dirty ?? [{ length, flags: dirtyFlag }];
  let [a, d, aUsed, dUsed] = [0, 0, 0, 0];
  for (let at = 0; at < length;) {
    const [inA, inD] = [allocation[a], dirtyRuns[d]];
    if (inA === undefined || inD === undefined) break;
    const run = Math.min(inA.length - aUsed, inD.length - dUsed, length - at);
    const zero = (inA.flags & AllocationFlag.zero) !== 0;
    const clean = !isChanged(inD.flags);
    out.push([run, clean ? { zero, unchanged: true } : { zero }]);
    at += run;
    aUsed += run;
    dUsed += run;
    if (aUsed === inA.length) [a, aUsed] = [a + 1, 0];
    if (dUsed === inD.length) [d, dUsed] = [d + 1, 0];
  }
  return out;
}
