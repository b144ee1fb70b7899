import type { DiskSink } from '../domain/platform.ts';
import type { Journal } from './journal.ts';
import { RangeSet, type Range } from './range-set.ts';

/** How much may be at stake. */
export interface CopyLimits {
  /** Written bytes that call for a flush. */
  flushBytes: number;
  /** A flush comes at the latest so long after the first write that it covers. */
  flushAfterMs: number;
  /** Bytes that may have been asked for and not be durable: what a kill makes cross twice. */
  windowBytes: number;
}

/** Less than 64 MiB cross twice after a kill; a flush has 32 MiB to go on with meanwhile. */
export const defaultCopyLimits: CopyLimits = {
  flushBytes: 16 * 1024 * 1024,
  flushAfterMs: 2000,
  windowBytes: 48 * 1024 * 1024,
};

interface Waiter {
  bytes: number;
  go(): void;
}

/**
 * What is under way between source and stable storage. Pieces enter before they are read, and leave when the
 * sink is flushed and the journal says so; meanwhile reads go on.
 */
export class CopyWindow {
  readonly #sink: DiskSink;
  readonly #journal: Journal;
  readonly #limits: CopyLimits;
  readonly #fail: (error: unknown) => void;
  readonly #onDurable: ((ranges: readonly Range[]) => void) | undefined;
  readonly #waiting: Waiter[] = [];
  #openBytes = 0;
  #written: Range[] = [];
  #zeroed: Range[] = [];
  /** Pieces that turned out to be zeroes; neighbours are one range here, and one request to the sink. */
  #foundZero = new RangeSet();
  #writtenBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;

  /** `fail` hears of a flush that failed while nobody awaited it. */
  constructor(
    parts: {
      sink: DiskSink;
      journal: Journal;
      limits: CopyLimits;
      onDurable?: ((ranges: readonly Range[]) => void) | undefined;
    },
    fail: (error: unknown) => void,
  ) {
    this.#sink = parts.sink;
    this.#journal = parts.journal;
    this.#limits = parts.limits;
    this.#onDurable = parts.onDurable;
    this.#fail = fail;
  }

  /** Waits for room and notes the piece as started. Rejects with the signal's reason. */
  async enter(piece: Range, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.length > 0 || this.#openBytes + piece.length > this.#limits.windowBytes) {
      await this.#wait(piece.length, signal);
    } else {
      this.#openBytes += piece.length;
    }
    await this.#journal.started([piece]);
  }

  /** A piece that entered has been written. */
  wrote(piece: Range): void {
    this.#written.push(piece);
    this.#writtenBytes += piece.length;
    this.#flushInTime();
  }

  /**
   * A piece that entered holds nothing but zeroes. Where the target has other bytes, the next flush writes them with
   * those of its neighbours: to make zeroes in a file is a program's start for each range.
   */
  foundZero(piece: Range): void {
    this.#foundZero.add(piece.offset, piece.length);
    this.#writtenBytes += piece.length;
    this.#flushInTime();
  }

  /** A range has been zeroed; it need not have entered. */
  zeroed(range: Range): void {
    this.#zeroed.push(range);
    this.#flushInTime();
  }

  /** Flushes and records all that was written. */
  async drain(): Promise<void> {
    // The end of one flush may begin the next.
    while (this.#flushing !== undefined) await this.#flushing;
    await this.#flush();
  }

  /** Stops the timer and waits for a flush under way; errors have gone to `fail`. */
  async settle(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#flushing?.catch(() => undefined);
    clearTimeout(this.#timer);
  }

  async #wait(bytes: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        go: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  #flushInTime(): void {
    if (this.#flushing !== undefined) return;
    if (this.#writtenBytes >= this.#limits.flushBytes) this.#flushInBackground();
    else this.#timer ??= setTimeout(() => this.#flushInBackground(), this.#limits.flushAfterMs);
  }

  #flushInBackground(): void {
    if (this.#flushing !== undefined) return;
    this.#flushing = this.#flush();
    this.#flushing.then(
      () => {
        this.#flushing = undefined;
        if (!this.#isIdle()) this.#flushInTime();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isIdle()) return;
    const [written, zeroed, bytes] = [this.#written, this.#zeroed, this.#writtenBytes];
    const foundZero = [...this.#foundZero];
    this.#written = [];
    this.#zeroed = [];
    this.#foundZero = new RangeSet();
    this.#writtenBytes = 0;
    if (!this.#journal.targetStartsZeroed) {
      for (const { offset, length } of foundZero) await this.#sink.writeZeroes(offset, length);
    }
    await this.#sink.flush();
    await this.#journal.durable(written, [...zeroed, ...foundZero]);
    this.#onDurable?.(written);
    this.#openBytes -= bytes;
    this.#admit();
  }

  #isIdle(): boolean {
    return this.#written.length + this.#zeroed.length + this.#foundZero.size === 0;
  }

  #admit(): void {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || this.#openBytes + next.bytes > this.#limits.windowBytes) return;
      this.#openBytes += next.bytes;
      this.#waiting.shift();
      next.go();
    }
  }
}
