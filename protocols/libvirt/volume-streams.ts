/**
 * A volume's bytes through the connection itself, where no NBD export can be had: down as what the
 * daemon finds, up as what the caller brings, holes kept as holes.
 *
 * Give it a connection of its own. Stream and calls share one order of bytes, so a reader that is slow
 * holds up replies and events, too; a call that is awaited between two pieces may wait in vain.
 */
import type { Connection } from './connection.ts';
import { VolumeStreamFlag } from './enums.ts';
import { ProtocolError } from './errors.ts';
import type { RpcStream, StreamChunk } from './stream.ts';
import type { VolumeRef } from './types.ts';

/** Which part of the volume, and with what limits. */
export interface VolumeStreamOptions {
  /** Where in the volume to begin; 0 unless it is given. */
  readonly offsetBytes?: number;
  /** Exactly so many bytes, holes included; else it is an error. 0, as many as come, unless given. */
  readonly lengthBytes?: number;
  /** Holes as holes (libvirt 3.4 and later); true unless it is given. Without it they are zeros. */
  readonly sparse?: boolean;
  /** How long to wait for the daemon's next sign; 30 s unless it is given. */
  readonly idleTimeoutMs?: number;
  /** How long the daemon may take to end a stream that is complete; 5 min unless it is given. */
  readonly finishTimeoutMs?: number;
  /** Gives up: rejects with `CallAborted` after the daemon was told. */
  readonly signal?: AbortSignal;
}

/** What was sent. */
export interface StreamTotals {
  readonly dataBytes: number;
  readonly holeBytes: number;
}

const IDLE_TIMEOUT_MS = 30_000;
const FINISH_TIMEOUT_MS = 300_000;

/**
 * Reads a volume, piece by piece as they come (256 KiB of data at most; a hole of any length).
 * Throws what `Connection.call` rejects with; an end before the end is an error, never a short
 * volume. Leaving the loop early tells the daemon.
 */
export async function* downloadVolume(
  connection: Connection,
  vol: VolumeRef,
  options: VolumeStreamOptions = {},
): AsyncGenerator<StreamChunk, void, undefined> {
  const { signal, finishTimeoutMs = FINISH_TIMEOUT_MS } = options;
  const stream = await open(connection, 'StorageVolDownload', { vol, options });
  const limit = { timeoutMs: options.idleTimeoutMs ?? IDLE_TIMEOUT_MS, signal };
  const length = new Length('StorageVolDownload', options.lengthBytes);
  let complete = false;
  try {
    for (;;) {
      const chunk = await stream.next(limit);
      if (chunk === undefined) break;
      length.add(chunk);
      yield chunk;
    }
    length.end();
    await stream.finish({ timeoutMs: finishTimeoutMs, signal });
    complete = true;
  } finally {
    if (!complete) await stream.abort();
  }
}

/**
 * Writes into a volume that exists, piece by piece as they are asked for. Resolves once the daemon
 * has taken everything. Rejects with what `Connection.call` rejects with, or with what the pieces'
 * source threw; the daemon is told, and what it had taken by then is in the volume.
 *
 * libvirt skips a hole, it does not erase what the volume had there before: a volume that is to be
 * like its source has to be new.
 */
export async function uploadVolume(
  connection: Connection,
  vol: VolumeRef,
  chunks: AsyncIterable<StreamChunk> | Iterable<StreamChunk>,
  options: VolumeStreamOptions = {},
): Promise<StreamTotals> {
  const stream = await open(connection, 'StorageVolUpload', { vol, options });
  try {
    const totals = await sendAll(stream, chunks, options);
    const { signal, finishTimeoutMs = FINISH_TIMEOUT_MS } = options;
    await stream.finish({ timeoutMs: finishTimeoutMs, signal });
    return totals;
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

async function open(
  connection: Connection,
  name: 'StorageVolUpload' | 'StorageVolDownload',
  { vol, options }: { vol: VolumeRef; options: VolumeStreamOptions },
): Promise<RpcStream> {
  const { offsetBytes: offset = 0, lengthBytes: length = 0, sparse = true, signal } = options;
  const flags = sparse ? VolumeStreamFlag.sparseStream : 0;
  const limits = {
    timeoutMs: options.idleTimeoutMs ?? IDLE_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  };
  return connection.openStream(name, { vol, offset, length, flags }, limits);
}

async function sendAll(
  stream: RpcStream,
  chunks: AsyncIterable<StreamChunk> | Iterable<StreamChunk>,
  { sparse = true, idleTimeoutMs = IDLE_TIMEOUT_MS, lengthBytes, signal }: VolumeStreamOptions,
): Promise<StreamTotals> {
  const length = new Length('StorageVolUpload', lengthBytes);
  const iterator =
    Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  let dataBytes = 0;
  let holeBytes = 0;
  let exhausted = false;
  try {
    for (;;) {
      // The source may take its time, but a stream that failed must not wait for it.
      const asked = Promise.resolve<IteratorResult<StreamChunk, unknown>>(iterator.next());
      const next = await stream.orFailure(asked, signal);
      if (next.done === true) break;
      const chunk = next.value;
      length.add(chunk);
      if (chunk.kind === 'data') dataBytes += chunk.bytes.length;
      else if (sparse) holeBytes += chunk.lengthBytes;
      else throw new ProtocolError('a hole in a stream that was not opened as a sparse one');
      await stream.send(chunk, { timeoutMs: idleTimeoutMs, signal });
    }
    exhausted = true;
    length.end();
    return { dataBytes, holeBytes };
  } finally {
    if (!exhausted) void letGo(iterator);
  }
}

/**
 * Holds a stream to the length that was stated for it. libvirt 9.0 takes what is too much, writes
 * none of that message and calls it a success; and a volume that ends early just ends.
 */
class Length {
  readonly #name: string;
  readonly #expectedBytes: number;
  #bytes = 0;

  constructor(name: string, expectedBytes = 0) {
    this.#name = name;
    this.#expectedBytes = expectedBytes;
  }

  add(chunk: StreamChunk): void {
    this.#bytes += chunk.kind === 'data' ? chunk.bytes.length : chunk.lengthBytes;
    if (this.#expectedBytes > 0 && this.#bytes > this.#expectedBytes) {
      const text = `${this.#bytes} bytes are more than the ${this.#expectedBytes} stated`;
      throw new ProtocolError(`${this.#name}: ${text}`);
    }
  }

  end(): void {
    if (this.#bytes >= this.#expectedBytes) return;
    const text = `the stream ended after ${this.#bytes} of ${this.#expectedBytes} bytes`;
    throw new ProtocolError(`${this.#name}: ${text}`);
  }
}

/** Not awaited: a source that hangs, or fails to end, must not keep the first error from the caller. */
async function letGo(iterator: AsyncIterator<StreamChunk> | Iterator<StreamChunk>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // The error that led here is the one that counts.
  }
}
