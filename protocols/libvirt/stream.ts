/**
 * One stream of a connection: bytes and holes that belong to a call, beside the calls.
 *
 * The protocol has no window of its own. What comes in is therefore kept up to a bound, and then the
 * whole connection stops to read: a stream wants a connection to itself.
 */
import { i64, struct, u32 } from './codec.ts';
import { CallAborted, CallTimeout, ConnectionLost, LibvirtError } from './errors.ts';
import type { CloseReason } from './errors.ts';
import { MessageStatus, MessageType, Program } from './framing.ts';
import type { Frame } from './framing.ts';
import { remoteError } from './types.ts';
import { ProtocolError, XdrDecoder, XdrEncoder } from './xdr.ts';

/** A piece of a stream. A hole is a run of zeros that need not take space where it is stored. */
export type StreamChunk =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'hole'; readonly lengthBytes: number };

/** How long to wait for the daemon's next sign, and who may give up before. */
export interface StreamLimit {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What a stream needs of its connection. */
export interface StreamOwner {
  /** Never rejects: where it fails it tells the stream. */
  readonly send: (frame: Frame) => Promise<void>;
  /** Called with true when what was not yet taken reaches the bound, with false when it was taken. */
  readonly onFull: (full: boolean) => void;
  /** The daemon is done with it: no message of this serial is of interest any more. */
  readonly onEnded: () => void;
}

/** Whose stream it is, and which way it goes. */
export interface StreamIdentity {
  /** The call that opened it, for messages. */
  readonly name: string;
  readonly procedure: number;
  readonly serial: number;
  readonly direction: 'download' | 'upload';
}

/** What libvirt's own client sends in one message at most, so that every daemon takes it. */
const MAX_DATA_BYTES = 262_120;
/** What waits for the reader before the connection stops to read. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** What may come before the daemon's reply, which is a matter of its threads: a few messages. */
const MAX_EARLY_BYTES = 4 * 1024 * 1024;
/** What a piece costs at least, however small it is: a million holes are not free. */
const MIN_CHUNK_COST_BYTES = 1024;
/** How long an abort waits until the daemon agrees. */
const ABORT_TIMEOUT_MS = 2_000;

const hole = struct({ lengthBytes: i64, flags: u32 });

/** Made by `Connection.openStream`; `volume-streams.ts` is what one uses. */
export class RpcStream {
  readonly #identity: StreamIdentity;
  readonly #owner: StreamOwner;
  #buffer: StreamChunk[] = [];
  #bufferedBytes = 0;
  #full = false;
  #accepted = false;
  #state: 'open' | 'complete' | 'finishing' | 'aborting' = 'open';
  #ended = false;
  #failure: Error | undefined;
  readonly #watchers = new Set<() => void>();

  constructor(identity: StreamIdentity, owner: StreamOwner) {
    this.#identity = identity;
    this.#owner = owner;
  }

  /**
   * The next piece, undefined once all were taken. Rejects with `LibvirtError` if the daemon gives
   * up, `ConnectionLost`, `CallTimeout`, `CallAborted` or `ProtocolError`.
   */
  async next(limit: StreamLimit): Promise<StreamChunk | undefined> {
    await this.#until(() => this.#buffer.length > 0 || this.#state === 'complete', limit);
    const chunk = this.#buffer.shift();
    if (chunk === undefined) return undefined;
    this.#bufferedBytes -= costOf(chunk);
    if (this.#full && this.#bufferedBytes < MAX_BUFFERED_BYTES / 2) this.#setFull(false);
    return chunk;
  }

  /** Sends a piece; resolves when it left this process. Rejects like `next`. */
  async send(chunk: StreamChunk, limit: StreamLimit): Promise<void> {
    if (chunk.kind === 'hole') {
      const { lengthBytes } = chunk;
      if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0) {
        throw new ProtocolError(`a hole of ${lengthBytes} bytes cannot be sent`);
      }
      if (lengthBytes === 0) return;
      const to = new XdrEncoder();
      hole.encode(to, { lengthBytes: BigInt(lengthBytes), flags: 0 });
      const { streamHole } = MessageType;
      await this.#sendFrame({ type: streamHole, body: to.finish() }, limit);
      return;
    }
    for (let at = 0; at < chunk.bytes.length; at += MAX_DATA_BYTES) {
      const body = chunk.bytes.subarray(at, at + MAX_DATA_BYTES);
      await this.#sendFrame({ type: MessageType.stream, body }, limit);
    }
  }

  /** Says that all is sent, or taken; resolves once the daemon agrees. Rejects like `next`. */
  async finish(limit: StreamLimit): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#state = 'finishing';
    const { ok } = MessageStatus;
    await this.#sendFrame({ type: MessageType.stream, status: ok, body: new Uint8Array() }, limit);
    await this.#until(() => this.#ended, limit);
  }

  /**
   * Gives the stream up and tells the daemon; never rejects. Resolves once the daemon has let go of
   * the volume, in 2 s at most. Without effect on a stream that has ended.
   */
  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#state = 'aborting';
    this.#failure = undefined;
    this.#buffer = [];
    this.#bufferedBytes = 0;
    if (this.#full) this.#setFull(false);
    const limit = { timeoutMs: ABORT_TIMEOUT_MS };
    const { error: status } = MessageStatus;
    const frame = { type: MessageType.stream, status, body: new Uint8Array() };
    try {
      await this.#sendFrame(frame, limit);
      await this.#until(() => this.#ended, limit);
    } catch {
      // It was given up already: that the daemon does not confirm changes nothing for the caller.
    }
  }

  /** Resolves like `pending`, unless the stream fails or the signal fires before. */
  async orFailure<T>(pending: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const settled = Promise.withResolvers<T>();
    const check = (): void => {
      if (this.#failure !== undefined) settled.reject(this.#failure);
    };
    const onAbort = (): void => settled.reject(this.#aborted(signal?.reason));
    this.#watchers.add(check);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    check();
    pending.then(settled.resolve, settled.reject);
    try {
      return await settled.promise;
    } finally {
      this.#watchers.delete(check);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** The daemon agreed to the call. */
  accept(): void {
    this.#accepted = true;
    if (!this.#full && this.#bufferedBytes >= MAX_BUFFERED_BYTES) this.#setFull(true);
  }

  /** The daemon did not agree to the call: there is no stream. */
  discard(): void {
    this.#end();
  }

  /** Takes a message of this stream. */
  onFrame(frame: Frame): void {
    if (this.#ended) return;
    if (frame.status === MessageStatus.error) this.#onRefusal(frame);
    else if (this.#state === 'aborting') this.#onWhileAborting(frame);
    else if (this.#failure === undefined) this.#onProgress(frame);
  }

  /** The connection ended. */
  onLost(reason: CloseReason): void {
    if (this.#ended) return;
    this.#failure ??= new ConnectionLost(this.#outcome(), reason);
    this.#end();
  }

  #onRefusal(frame: Frame): void {
    if (this.#state !== 'aborting') this.#failure ??= errorOf(this.#identity.name, frame.body);
    this.#end();
  }

  /** What was under way when it was given up is dropped, until the daemon says that it stopped. */
  #onWhileAborting({ type, status }: Frame): void {
    if (type === MessageType.stream && status === MessageStatus.ok) this.#end();
  }

  #onProgress(frame: Frame): void {
    try {
      if (frame.status === MessageStatus.ok && frame.type === MessageType.stream) this.#onOk();
      else if (frame.status === MessageStatus.continue) this.#onChunk(frame);
      else throw new ProtocolError(`status ${frame.status} in a stream is unknown`);
    } catch (error) {
      this.#failure = error instanceof Error ? error : new ProtocolError(String(error));
    }
    this.#changed();
  }

  #onOk(): void {
    if (this.#state !== 'finishing') {
      throw new ProtocolError('the daemon agreed to an end that was not proposed');
    }
    this.#end();
  }

  #onChunk({ type, body }: Frame): void {
    if (this.#identity.direction === 'upload') {
      throw new ProtocolError('the daemon sent data where it should take it');
    }
    if (type === MessageType.stream && body.length === 0) {
      this.#state = 'complete';
      return;
    }
    if (this.#state === 'complete') throw new ProtocolError('data after the end of a stream');
    const chunk: StreamChunk | undefined =
      type === MessageType.stream ? { kind: 'data', bytes: body } : holeOf(body);
    if (chunk === undefined) return;
    this.#buffer.push(chunk);
    this.#bufferedBytes += costOf(chunk);
    if (this.#bufferedBytes < MAX_BUFFERED_BYTES) return;
    if (this.#accepted) {
      if (!this.#full) this.#setFull(true);
    } else if (this.#bufferedBytes > MAX_EARLY_BYTES) {
      // To stop reading here would be never to read the reply.
      throw new ProtocolError('too much of a stream before the reply to its call');
    }
  }

  async #sendFrame(
    part: Pick<Frame, 'type' | 'body'> & { status?: number },
    limit: StreamLimit,
  ): Promise<void> {
    const { procedure, serial } = this.#identity;
    const status = MessageStatus.continue;
    const frame = { program: Program.remote, procedure, serial, status, ...part };
    let sent = false;
    void this.#owner.send(frame).then(() => {
      sent = true;
      this.#changed();
    });
    // The answer to a goodbye can overtake the news that the goodbye was written.
    const over = (): boolean => this.#ended && this.#failure === undefined;
    await this.#until(() => sent || over(), limit);
  }

  /** Waits until it is so; the time limit begins anew with each sign of the daemon. */
  async #until(done: () => boolean, limit: StreamLimit): Promise<void> {
    for (;;) {
      if (limit.signal?.aborted === true) throw this.#aborted(limit.signal.reason);
      // What came before a failure was still sent in order, so it is handed out first.
      if (done()) return;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) throw new ProtocolError(`${this.#identity.name}: the stream has ended`);
      await this.#change(limit);
    }
  }

  async #change({ timeoutMs, signal }: StreamLimit): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const onChange = (): void => resolve(undefined);
    const onAbort = (): void => reject(this.#aborted(signal?.reason));
    const timer = setTimeout(
      () => reject(new CallTimeout(this.#outcome(), timeoutMs)),
      Math.max(1, timeoutMs),
    );
    this.#watchers.add(onChange);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(onChange);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #aborted(reason: unknown): CallAborted {
    return new CallAborted(this.#outcome(), reason);
  }

  /** A download changes nothing at the daemon. */
  #outcome(): { procedure: string; outcomeUnknown: boolean } {
    const { name, direction } = this.#identity;
    return { procedure: name, outcomeUnknown: direction === 'upload' };
  }

  #setFull(full: boolean): void {
    this.#full = full;
    this.#owner.onFull(full);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#full) this.#setFull(false);
    this.#owner.onEnded();
    this.#changed();
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

const costOf = (chunk: StreamChunk): number =>
  Math.max(MIN_CHUNK_COST_BYTES, chunk.kind === 'data' ? chunk.bytes.length : 0);

/** Undefined for a hole of no length, which says nothing. */
function holeOf(body: Uint8Array): StreamChunk | undefined {
  const from = new XdrDecoder(body);
  const { lengthBytes, flags } = hole.decode(from);
  from.end();
  const length = Number(lengthBytes);
  // libvirt defines no flags: one that is set would mean what this client cannot know.
  if (flags !== 0 || length < 0 || !Number.isSafeInteger(length)) {
    throw new ProtocolError(`a hole of ${lengthBytes} bytes (flags ${flags}) makes no sense`);
  }
  return length === 0 ? undefined : { kind: 'hole', lengthBytes: length };
}

function errorOf(name: string, body: Uint8Array): Error {
  try {
    return new LibvirtError(name, remoteError.decode(new XdrDecoder(body)));
  } catch (cause) {
    return new ProtocolError(`${name}: the daemon's error cannot be read`, { cause });
  }
}
