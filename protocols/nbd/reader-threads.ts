import { protocolError } from './errors.ts';
import type { ExportLook, ReaderOptions } from './reader-messages.ts';
import { readerThreads, type ReaderThread } from './reader-pool.ts';

let lastLink = 0;
/** As many as a copy over TLS keeps busy. */
const hashThreads = 4;

/** Where a read goes, and whether the thread is to hash it. */
export interface ThreadedRead {
  offset: number;
  into: Uint8Array<SharedArrayBuffer>;
  hashed: boolean;
}

/** A connection on a thread. */
interface Reader {
  readonly thread: ReaderThread;
  readonly link: number;
  /** Reads on their way over this connection. */
  load: number;
}

/**
 * Reads of one export over several connections, spread over threads: decryption and the work of the protocol then use
 * as many cores as there are threads, and leave the caller's event loop alone.
 */
export class NbdReaders {
  readonly #readers: readonly Reader[];

  private constructor(readers: readonly Reader[]) {
    this.#readers = readers;
  }

  /**
   * Makes up to `count` connections, one a thread, to an export that allows several and looks like `look`, which may
   * be found out meanwhile. Rejects with NbdError as `openPool` does, or as `look` does; then none is left.
   */
  static async open(
    options: ReaderOptions,
    expected: {
      count: number;
      look: ExportLook | Promise<ExportLook>;
      signal?: AbortSignal | undefined;
    },
  ): Promise<NbdReaders> {
    const { count, signal } = expected;
    const looking = Promise.resolve(expected.look);
    // It may fail while the threads still connect; that is heard below.
    looking.catch(() => undefined);
    const made = readerThreads(count).map((thread) => ({ thread, link: ++lastLink, load: 0 }));
    const readers = new NbdReaders(made);
    const opened = await Promise.allSettled(
      made.map(({ thread, link }) => thread.run({ do: 'open', link, options }, signal)),
    );
    try {
      const look = await looking;
      for (const one of opened) {
        if (one.status === 'rejected') throw one.reason;
        if (one.value.look === undefined || !sameLook(look, one.value.look)) {
          throw protocolError('another export is shown each time');
        }
      }
      return readers;
    } catch (error) {
      await readers.close();
      throw error;
    }
  }

  get count(): number {
    return this.#readers.length;
  }

  /**
   * Fills `into`, over the connection with the least to do; resolves to its SHA-256 if that was asked for. When it
   * rejects, nothing writes to `into` any more.
   */
  async read(what: ThreadedRead, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const best = this.#readers.reduce((a, b) => (b.load < a.load ? b : a));
    best.load++;
    try {
      const { digest } = await best.thread.run({ do: 'read', link: best.link, ...what }, signal);
      return digest;
    } finally {
      best.load--;
    }
  }

  /** Says goodbye on all connections; the threads stay. What is under way rejects. Safe to call twice. */
  async close(): Promise<void> {
    const goodbyes = this.#readers.map(({ thread, link }) => thread.run({ do: 'close', link }));
    // A thread that broke has no connections any more.
    await Promise.allSettled(goodbyes);
  }
}

/** SHA-256 of bytes that came another way, on the thread with the least to do. Rejects with NbdError if it breaks. */
export async function hashOnThread(bytes: Uint8Array<SharedArrayBuffer>): Promise<Uint8Array> {
  const threads = readerThreads(hashThreads);
  const best = threads.reduce((a, b) => (b.load < a.load ? b : a));
  const { digest } = await best.run({ do: 'hash', bytes });
  if (digest === undefined) throw protocolError('a thread hashed nothing');
  return digest;
}

const sameLook = (a: ExportLook, b: ExportLook): boolean =>
  a.sizeBytes === b.sizeBytes &&
  a.canMultiConn === b.canMultiConn &&
  a.blockSize.minimum === b.blockSize.minimum &&
  a.blockSize.maximum === b.blockSize.maximum;
