/**
 * A disk by NFC, which knows no ranges: one stream that is read on, of which the last grains are kept for whoever asks
 * a little late. Who asks for what went by longer ago has it begun anew, and what is before it crosses again unread.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { permanent, VmFerryError } from '../../domain/errors.ts';
import type { DiskSource, Extent } from '../../domain/platform.ts';
import { SoapError, SoapErrorKind } from '../../protocols/soap/index.ts';
import { settleAll } from '../ova/pieces.ts';
import { checkRange } from '../ova/sparse-disk.ts';
import { inflateGrain } from '../ova/vmdk-grains.ts';
import { told } from './grain-stream.ts';
import type { Grain } from './grain-stream.ts';
import type { NfcStream } from './nfc-stream.ts';

export interface NfcDiskOptions {
  sizeBytes: number;
  /** For messages. */
  what: string;
  host: string;
  /** The stream from its beginning. Rejects with VmFerryError. */
  open: (signal: AbortSignal) => Promise<NfcStream>;
  /** Of the disk, as far as the stream has come. */
  onPlace: (bytes: number) => void;
  /** Why it may have failed; undefined if nobody knows. */
  explain: () => Promise<Error | undefined>;
  /** Of deflated grains that went by; 32 MiB if absent. */
  keptBytes?: number;
}

/** The copier's reads in flight: the order in which they come here is that of the disk but for a few. */
const parallelism = 4;
const defaultKeptBytes = 32 * 1024 * 1024;
const mostAttempts = 4;
const firstPauseMs = 100;

export class NfcDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism = parallelism;
  readonly #options: NfcDiskOptions;
  readonly #stop = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();
  #window: GrainWindow | undefined;

  constructor(options: NfcDiskOptions) {
    this.#options = options;
    this.sizeBytes = options.sizeBytes;
  }

  /** What is zero is known once the stream has passed it. */
  // eslint-disable-next-line @typescript-eslint/require-await -- the interface's other implementations have to wait
  async *extents(offset: number, length: number): AsyncIterable<Extent> {
    if (length > 0) yield { offset, length, zero: false };
  }

  /** Rejects with VmFerryError: those of `open`, `source-unreachable`, `vsphere-protocol-broken`. */
  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    checkRange(this.sizeBytes, offset, into.length);
    signal?.throwIfAborted();
    this.#stop.signal.throwIfAborted();
    const range = { offset, end: offset + into.length };
    const turn = this.#turn.then(() => this.#grains(range, signal));
    this.#turn = turn.catch(() => undefined);
    const { grains, grainBytes, fault } = await unlessAborted(turn, signal);
    into.fill(0);
    const { what } = this.#options;
    const parts = grains.map((grain) => {
      const from = Math.max(grain.offset, offset);
      const to = Math.min(grain.offset + grainBytes, range.end);
      const piece = {
        ...{ block: grain.offset / grainBytes, skip: from - grain.offset },
        into: into.subarray(from - offset, to - offset),
      };
      return told(() => inflateGrain(grain.packed, piece, { grainBytes, what }));
    });
    await settleAll(parts).catch((error: unknown) => {
      throw fault(error);
    });
  }

  /** Ends its stream; whoever reads fails. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the disk was closed'));
    await this.#window?.close();
    await this.#turn;
  }

  /** Begins again after a loss, a few times. */
  async #grains(range: Range, signal: AbortSignal | undefined): Promise<Found> {
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      this.#stop.signal.throwIfAborted();
      try {
        const window = await this.#windowFor(range.offset);
        await window.reach(range, signal);
        return window.within(range);
      } catch (error) {
        if (signal?.aborted === true || this.#stop.signal.aborted) throw error;
        await this.#forget();
        const isPassing = error instanceof VmFerryError && error.handling === 'transient';
        if (!isPassing) throw error;
        const known = await this.#options.explain();
        if (known !== undefined) throw known;
        if (attempt === mostAttempts) throw error;
        await delay(firstPauseMs * 2 ** attempt, undefined, { signal: this.#stop.signal });
      }
    }
  }

  async #windowFor(offset: number): Promise<GrainWindow> {
    if (this.#window !== undefined && offset < this.#window.from) await this.#forget();
    if (this.#window !== undefined) return this.#window;
    const { open, what, host, onPlace, keptBytes = defaultKeptBytes } = this.#options;
    const stream = await open(this.#stop.signal);
    if (stream.capacityBytes !== this.sizeBytes) {
      await stream.close();
      throw permanent({
        code: 'vsphere-disk-unreadable',
        message: `${what} has ${this.sizeBytes} bytes, and ${stream.capacityBytes} by NFC`,
        remedy: 'Look at the disk in the settings of the VM.',
        host,
      });
    }
    this.#window = new GrainWindow(stream, { onPlace, keptBytes });
    return this.#window;
  }

  async #forget(): Promise<void> {
    const window = this.#window;
    this.#window = undefined;
    await window?.close();
  }
}

interface Range {
  offset: number;
  end: number;
}

interface Found {
  grains: Grain[];
  grainBytes: number;
  fault: (error: unknown) => unknown;
}

interface WindowOptions {
  onPlace: (bytes: number) => void;
  keptBytes: number;
}

/** A stream and the last grains that came by it. */
class GrainWindow {
  /** Of the disk: what is before it went by. */
  from = 0;
  readonly #stream: NfcStream;
  readonly #options: WindowOptions;
  #kept: Grain[] = [];
  #bytes = 0;
  /** Of the disk: what is before it has come. */
  #upTo = 0;

  constructor(stream: NfcStream, options: WindowOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Reads on until all of the range has come, or until nobody waits for it. */
  async reach({ offset, end }: Range, signal: AbortSignal | undefined): Promise<void> {
    const { grains, grainBytes, capacityBytes, fault } = this.#stream;
    while (this.#upTo < end && signal?.aborted !== true) {
      const next = await grains.next().catch((error: unknown) => {
        throw fault(error);
      });
      if (next.done === true) {
        // What did not come is zero only if the stream came to its end.
        if (next.value !== 'whole') throw fault(new SoapError(SoapErrorKind.lost, 'it was ended'));
        this.#upTo = capacityBytes;
      } else {
        this.#kept.push(next.value);
        this.#bytes += next.value.packed.length;
        this.#upTo = Math.min(capacityBytes, next.value.offset + grainBytes);
        this.#drop(offset);
      }
      this.#options.onPlace(this.#upTo);
    }
    signal?.throwIfAborted();
  }

  within({ offset, end }: Range): Found {
    const { grainBytes, fault } = this.#stream;
    const isThere = (grain: Grain): boolean =>
      grain.offset < end && grain.offset + grainBytes > offset;
    return { grains: this.#kept.filter(isThere), grainBytes, fault };
  }

  async close(): Promise<void> {
    await this.#stream.close();
  }

  /** The oldest, but for what is asked for just now. */
  #drop(wanted: number): void {
    const { grainBytes } = this.#stream;
    let gone = 0;
    for (const { offset, packed } of this.#kept) {
      if (this.#bytes <= this.#options.keptBytes || offset + grainBytes > wanted) break;
      this.#bytes -= packed.length;
      this.from = offset + grainBytes;
      gone += 1;
    }
    if (gone > 0) this.#kept = this.#kept.slice(gone);
  }
}

/** Rejects at once when it is given up; what goes on behind writes to nobody's memory. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
