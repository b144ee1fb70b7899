/** One byte stream that carries messages: reads them, writes them one after the other, ends once. */
import type { Duplex } from 'node:stream';
import { CloseKind } from './errors.ts';
import type { CloseReason } from './errors.ts';
import { encodeFrame, FrameReader } from './framing.ts';
import type { Frame } from './framing.ts';

/** What a link tells its owner; `onClose` comes once, and no frame after it. */
export interface LinkOwner {
  onFrame(frame: Frame): void;
  onClose(reason: CloseReason): void;
}

interface Outgoing {
  readonly bytes: Buffer;
  readonly done: (error?: Error) => void;
}

/**
 * Owns the stream from now on. Each message waits for the previous one's write to end: a libvirtd
 * that got several messages in one TLS record was seen to hang. Its owner bounds how many wait.
 */
export class Link {
  readonly #stream: Duplex;
  readonly #owner: LinkOwner;
  readonly #reader = new FrameReader();
  #outgoing: Outgoing[] = [];
  #writing = false;
  #closed: CloseReason | undefined;

  constructor(stream: Duplex, owner: LinkOwner) {
    this.#stream = stream;
    this.#owner = owner;
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
    stream.on('error', (cause: Error) => {
      this.#end({ kind: CloseKind.peer, message: cause.message, cause });
    });
    for (const event of ['end', 'close']) {
      stream.on(event, () => {
        this.#end({ kind: CloseKind.peer, message: 'the daemon closed the connection' });
      });
    }
  }

  /** Why the link ended, undefined while it works. */
  get closeReason(): CloseReason | undefined {
    return this.#closed;
  }

  /** Resolves when the message left this process; rejects when the link ends before. */
  send(frame: Frame): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(new Error(this.#closed.message));
    return new Promise((resolve, reject) => {
      const bytes = encodeFrame(frame);
      this.#outgoing.push({ bytes, done: (error) => (error ? reject(error) : resolve()) });
      this.#writeNext();
    });
  }

  /** Stops to read, or goes on: what then waits in the socket holds the daemon up. */
  setReading(reading: boolean): void {
    if (this.#closed !== undefined) return;
    if (reading) this.#stream.resume();
    else this.#stream.pause();
  }

  /** Ends the link for a reason of the owner's. */
  end(reason: CloseReason): void {
    this.#end(reason);
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) {
        if (this.#closed !== undefined) return;
        this.#owner.onFrame(frame);
      }
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      this.#end({ kind: CloseKind.protocol, message, cause });
    }
  }

  #writeNext(): void {
    if (this.#writing || this.#closed !== undefined) return;
    const next = this.#outgoing.shift();
    if (next === undefined) return;
    this.#writing = true;
    this.#stream.write(next.bytes, (error) => {
      this.#writing = false;
      next.done(error ?? undefined);
      this.#writeNext();
    });
  }

  #end(reason: CloseReason): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    const unsent = this.#outgoing;
    this.#outgoing = [];
    this.#stream.destroy();
    for (const { done } of unsent) done(new Error(reason.message));
    this.#owner.onClose(reason);
  }
}
