import { permanent } from '../domain/errors.ts';
import type { DiskSink, DiskSource } from '../domain/platform.ts';
import { lendBuffers } from './buffer-pool.ts';
import { CopyWindow, defaultCopyLimits, type CopyLimits } from './copy-window.ts';
import { cancelledFault } from './faults.ts';
import type { Journal } from './journal.ts';
import { ProgressMeter, type Progress } from './progress.ts';
import { RangeSet, type Range } from './range-set.ts';
import type { Throttle } from './throttle.ts';
import { dataRuns } from './zero-bytes.ts';

/** A request carries no more, whatever the journal says: larger ones only hold others up. */
const longestChunkBytes = 2 * 1024 * 1024;
const mostInFlight = 16;
/** Bytes of one zeroing, so that a resume need not begin a large one again. */
const zeroBytes = 1024 * 1024 * 1024;

export interface CopyOptions {
  source: DiskSource;
  sink: DiskSink;
  /** Opened for this source and sink; its header's chunk size is used. */
  journal: Journal;
  /** Asked before each read; several may be chained behind it. */
  throttle?: Pick<Throttle, 'take'>;
  /** Called at most every 250 ms, and at the end. */
  onProgress?: (progress: Progress) => void;
  /** Told of data that was written and is durable now. */
  onDurable?: (ranges: readonly Range[]) => void;
  signal?: AbortSignal;
  /** Pieces between source and sink at a time, each with one buffer; default: the source's wish, at most 16. */
  maxInFlight?: number;
  /** Default: flush every 16 MiB or 2 s, 48 MiB at stake. The window has to hold a chunk. */
  limits?: CopyLimits;
}

/** All in bytes. */
export interface CopyResult {
  /** Read from the source in this attempt, zeroes that it did not tell of included: they had to cross to be seen. */
  bytesCopied: number;
  /** Of these, read for another time because an earlier attempt ended before they were durable. */
  bytesRecopied: number;
  /** All the source's bytes that have to cross, once. */
  totalDataBytes: number;
  /** Found durable from earlier attempts. */
  resumedBytes: number;
  /** Why an earlier journal was not continued, if so. */
  restarted?: string;
}

interface Piece extends Range {
  zero: boolean;
}

/**
 * Copies a disk: data crosses, zeroes do not (they are written as such where the target does not start zeroed),
 * `unchanged` ranges are left alone. Zeroes that a source does not tell of, as a block device never does, cross, and
 * become no data on the target all the same. Resumes from the journal; when it resolves, everything is flushed and
 * recorded. Closes nothing. After an abort or a failure, no read or write is under way any more, and what was
 * written is recorded if that is still possible.
 *
 * Rejects with what source, sink or journal throw (VmFerryError), `cancelled`, or `target-too-small`.
 */
export const copyDisk = async (options: CopyOptions): Promise<CopyResult> => {
  const { source, sink, signal } = options;
  if (sink.sizeBytes < source.sizeBytes) {
    throw permanent({
      code: 'target-too-small',
      message: `a disk of ${source.sizeBytes} bytes does not fit into one of ${sink.sizeBytes}`,
      remedy: 'Make the target disk at least as large as the source.',
    });
  }
  if (signal?.aborted === true) throw cancelledFault('the copy', signal.reason);
  return new Copy(options).run();
};

class Copy {
  readonly #options: CopyOptions;
  readonly #stop = new AbortController();
  readonly #window: CopyWindow;
  readonly #chunkBytes: number;
  /** What was safe when this attempt began; the journal's own set grows meanwhile. */
  readonly #safe: RangeSet;
  /** No flush can be trusted any more. */
  #targetFailed = false;
  #failure: { error: unknown } | undefined;
  #bytesCopied = 0;
  #bytesRecopied = 0;
  #progress: ProgressMeter | undefined;

  constructor(options: CopyOptions) {
    this.#options = options;
    const { sink, journal, limits = defaultCopyLimits, onDurable } = options;
    this.#chunkBytes = Math.min(journal.header.chunkBytes, longestChunkBytes, limits.windowBytes);
    this.#safe = new RangeSet(journal.safe);
    this.#window = new CopyWindow({ sink, journal, limits, onDurable }, (error) =>
      this.#fail(error, true),
    );
  }

  async run(): Promise<CopyResult> {
    const { signal, onProgress, journal } = this.#options;
    const onAbort = () => this.#fail(cancelledFault('the copy', signal?.reason), false);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const totals = await this.#measure();
      const { totalDataBytes, resumedBytes } = totals;
      const start = { totalBytes: totalDataBytes, doneBytes: resumedBytes };
      this.#progress = new ProgressMeter(onProgress, start);
      await this.#copyPieces();
      // After a failure, too: what was written need not cross again.
      await this.#window.drain().catch((error: unknown) => this.#fail(error, true));
      if (this.#failure !== undefined) throw this.#failure.error;
      this.#progress.tell();
      const [bytesCopied, bytesRecopied] = [this.#bytesCopied, this.#bytesRecopied];
      const result = { bytesCopied, bytesRecopied, totalDataBytes, resumedBytes };
      const { restartedBecause } = journal;
      return restartedBecause === undefined ? result : { ...result, restarted: restartedBecause };
    } catch (error) {
      // The first failure is the cause; what it tore down fails with its own words.
      throw this.#failure === undefined ? error : this.#failure.error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      await this.#window.settle();
    }
  }

  /** One walk over the extents, for honest totals; a second one copies, so that no list is kept. */
  async #measure(): Promise<{ totalDataBytes: number; resumedBytes: number }> {
    const { source } = this.#options;
    let [totalDataBytes, resumedBytes] = [0, 0];
    for await (const extent of source.extents(0, source.sizeBytes, this.#stop.signal)) {
      if (extent.zero || extent.unchanged === true) continue;
      totalDataBytes += extent.length;
      resumedBytes += this.#safe.overlap(extent.offset, extent.length);
    }
    return { totalDataBytes, resumedBytes };
  }

  async #copyPieces(): Promise<void> {
    const { source, maxInFlight = Math.min(source.parallelism, mostInFlight) } = this.#options;
    const pieces = this.#pieces();
    using loan = lendBuffers(Math.max(1, maxInFlight), this.#chunkBytes);
    await Promise.all(
      loan.buffers.map((buffer) =>
        // Each worker ends with its own buffer free; the first failure stops the others.
        this.#work(pieces, buffer).catch((error: unknown) => this.#fail(error, false)),
      ),
    );
    await this.#window.settle();
    // After a failed write or flush a later flush could claim what is not so.
    if (this.#targetFailed && this.#failure !== undefined) throw this.#failure.error;
  }

  async #work(pieces: AsyncGenerator<Piece>, buffer: Uint8Array): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      signal.throwIfAborted();
      const next = await pieces.next();
      if (next.done === true) return;
      if (next.value.zero) await this.#zero(next.value);
      else await this.#move(next.value, buffer.subarray(0, next.value.length));
    }
  }

  async #move(piece: Piece, bytes: Uint8Array): Promise<void> {
    const { source, journal, throttle } = this.#options;
    const { signal } = this.#stop;
    const { offset, length } = piece;
    await throttle?.take(length, signal);
    await this.#window.enter({ offset, length }, signal);
    await source.read(offset, bytes, signal);
    this.#bytesCopied += length;
    this.#bytesRecopied += journal.startedNotDurable.overlap(offset, length);
    const runs = dataRuns(offset, bytes);
    if (runs.length === 0) {
      this.#window.foundZero({ offset, length });
    } else {
      await this.#write(offset, bytes, runs);
      this.#window.wrote({ offset, length });
    }
    this.#progress?.add(length);
  }

  /** Without the zeroes between the runs where the target has them already; where not, one write is the least work. */
  async #write(offset: number, bytes: Uint8Array, runs: readonly Range[]): Promise<void> {
    const { sink, journal } = this.#options;
    const { signal } = this.#stop;
    try {
      const whole = [{ offset, length: bytes.length }];
      for (const run of journal.targetStartsZeroed ? runs : whole) {
        const at = run.offset - offset;
        await sink.write(run.offset, bytes.subarray(at, at + run.length), signal);
      }
    } catch (error) {
      this.#fail(error, true);
      throw error;
    }
  }

  async #zero({ offset, length }: Piece): Promise<void> {
    try {
      await this.#options.sink.writeZeroes(offset, length, this.#stop.signal);
    } catch (error) {
      this.#fail(error, true);
      throw error;
    }
    this.#window.zeroed({ offset, length });
  }

  async *#pieces(): AsyncGenerator<Piece> {
    const { source, sink, journal } = this.#options;
    const { signal } = this.#stop;
    const writeZeroes = !journal.targetStartsZeroed;
    for await (const extent of source.extents(0, source.sizeBytes, signal)) {
      if (extent.unchanged === true || (extent.zero && !writeZeroes)) continue;
      yield* this.#missing(extent, extent.zero);
    }
    const tail = { offset: source.sizeBytes, length: sink.sizeBytes - source.sizeBytes };
    if (writeZeroes && tail.length > 0) yield* this.#missing(tail, true);
  }

  /** What is not safe yet, cut at whole multiples of the chunk so that direct I/O stays aligned. */
  *#missing(range: Range, zero: boolean): Generator<Piece> {
    const step = zero ? zeroBytes : this.#chunkBytes;
    for (const gap of this.#safe.missing(range.offset, range.length)) {
      const end = gap.offset + gap.length;
      for (let at = gap.offset; at < end;) {
        const length = Math.min(step - (at % step), end - at);
        yield { offset: at, length, zero };
        at += length;
      }
    }
  }

  #fail(error: unknown, targetFailed: boolean): void {
    this.#targetFailed ||= targetFailed && !this.#stop.signal.aborted;
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#stop.abort(error);
  }
}
