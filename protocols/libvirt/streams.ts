/** The open streams of one connection, by the serial of the call that opened each. */
import { CloseKind, TooManyCalls } from './errors.ts';
import type { CloseReason } from './errors.ts';
import type { Frame } from './framing.ts';
import { RpcStream } from './stream.ts';
import type { StreamIdentity } from './stream.ts';

/** What streams need of their connection. */
export interface StreamsOptions {
  readonly send: (frame: Frame) => Promise<void>;
  /** Whether to go on reading: with one stream full, all of them wait. */
  readonly onReading: (reading: boolean) => void;
}

/** Each may keep 1 MiB and a message; more at once is a caller's mistake. */
const MAX_STREAMS = 16;

/** Brings each message of a stream to its stream. */
export class Streams {
  readonly #options: StreamsOptions;
  readonly #streams = new Map<number, RpcStream>();
  readonly #full = new Set<number>();
  #reserved = 0;

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** Keeps a place for a stream that is about to begin; throws `TooManyCalls` if there is none. */
  reserve(name: string): void {
    if (this.#streams.size + this.#reserved >= MAX_STREAMS) {
      throw new TooManyCalls(name, MAX_STREAMS);
    }
    this.#reserved += 1;
  }

  /** Gives the place up: the call never went out. */
  release(): void {
    this.#reserved -= 1;
  }

  /** Begins a stream when its call goes out: its first data may come before the daemon's reply. */
  begin(identity: StreamIdentity): RpcStream {
    const { serial } = identity;
    this.#reserved -= 1;
    const stream = new RpcStream(identity, {
      send: (frame) =>
        this.#options.send(frame).catch((cause: unknown) => {
          // Where the link ended the stream knows already; a message too long for it is left.
          const message = cause instanceof Error ? cause.message : String(cause);
          stream.onLost({ kind: CloseKind.peer, message, cause });
        }),
      onFull: (full) => this.#onFull(serial, full),
      onEnded: () => this.#streams.delete(serial),
    });
    this.#streams.set(serial, stream);
    return stream;
  }

  /**
   * Takes a message of a stream. One of an unknown serial is dropped: what was under way when a stream
   * ended still arrives, and libvirt's own client does the same.
   */
  onFrame(frame: Frame): void {
    this.#streams.get(frame.serial)?.onFrame(frame);
  }

  /** The connection ended. */
  fail(reason: CloseReason): void {
    for (const stream of [...this.#streams.values()]) stream.onLost(reason);
  }

  #onFull(serial: number, full: boolean): void {
    const before = this.#full.size;
    if (full) this.#full.add(serial);
    else this.#full.delete(serial);
    if ((before === 0) !== (this.#full.size === 0)) this.#options.onReading(!full);
  }
}
