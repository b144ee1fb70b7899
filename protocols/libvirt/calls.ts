/** The calls of one connection: serial numbers, the window of calls in flight, time limits. */
import {
  CallAborted,
  CallTimeout,
  CloseKind,
  ConnectionLost,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
} from './errors.ts';
import type { CloseReason } from './errors.ts';
import { MessageStatus, MessageType, Program } from './framing.ts';
import type { Frame } from './framing.ts';
import type { SurplusHandler } from './surplus.ts';
import { remoteError } from './types.ts';
import { XdrDecoder } from './xdr.ts';

/** A call that is ready to be sent. */
export interface OutgoingCall {
  /** For messages of errors. */
  readonly name: string;
  /** `Program.remote` if absent. */
  readonly program?: number | undefined;
  readonly procedure: number;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /**
   * Told the number under which the call goes out, right before it does: a daemon was seen to send a
   * stream's first message before the reply that agrees to it.
   */
  readonly onSerial?: ((serial: number) => void) | undefined;
  /** Told at once whether it succeeded, and whether the caller does not wait any more. */
  readonly onOutcome?: ((succeeded: boolean, abandoned: boolean) => void) | undefined;
  /** Goes out at once, past the queue and the limit of calls in flight: the goodbye. */
  readonly urgent?: boolean;
}

/** What came back: the serial is the number of a stream that the call may have opened. */
export interface Reply {
  readonly serial: number;
  readonly body: Uint8Array;
}

export interface CallsOptions {
  /** Calls that the daemon works on at the same time. */
  readonly maxInFlight: number;
  /** Calls that wait for their turn. */
  readonly maxQueued: number;
  readonly send: (frame: Frame) => Promise<void>;
  readonly onSurplus: SurplusHandler;
}

interface Entry {
  readonly call: OutgoingCall;
  readonly settle: (outcome: Reply | Error) => void;
  /** True once the caller was told something else: the reply is awaited only to free its place. */
  abandoned: boolean;
}

const MAX_SERIAL = 0xffff_ffff;
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** Sends calls in order and brings each reply to its caller. */
export class Calls {
  readonly #options: CallsOptions;
  #queue: Entry[] = [];
  readonly #inFlight = new Map<number, Entry>();
  #lastSerial = 0;
  #closed: CloseReason | undefined;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Makes a call. Rejects with one of the classes in `errors.ts`, and never after the call settled. */
  make(call: OutgoingCall): Promise<Reply> {
    if (!(call.timeoutMs > 0 && call.timeoutMs <= MAX_TIMEOUT_MS)) {
      throw new RangeError(`a time limit of ${call.timeoutMs} ms is not in 1..${MAX_TIMEOUT_MS}`);
    }
    const failure = { procedure: call.name, outcomeUnknown: false };
    if (this.#closed !== undefined) throw new ConnectionLost(failure, this.#closed);
    if (call.signal?.aborted === true) throw new CallAborted(failure, call.signal.reason);
    if (this.#queue.length >= this.#options.maxQueued) {
      throw new TooManyCalls(call.name, this.#options.maxQueued);
    }
    return new Promise((resolve, reject) => {
      const giveUp = (makeError: (failed: typeof failure) => Error): void =>
        this.#abandon(entry, makeError);
      const timer = setTimeout(
        () => giveUp((failed) => new CallTimeout(failed, call.timeoutMs)),
        call.timeoutMs,
      );
      const onAbort = (): void => giveUp((failed) => new CallAborted(failed, call.signal?.reason));
      call.signal?.addEventListener('abort', onAbort, { once: true });
      const settle = (outcome: Reply | Error): void => {
        clearTimeout(timer);
        call.signal?.removeEventListener('abort', onAbort);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const entry: Entry = { call, settle, abandoned: false };
      if (call.urgent === true) {
        this.#send(entry);
        return;
      }
      this.#queue.push(entry);
      this.#sendNext();
    });
  }

  /** Takes a reply; one that was never asked for is a `ProtocolError`. */
  onReply(frame: Frame): void {
    const entry = this.#inFlight.get(frame.serial);
    const isOfCall =
      entry?.call.procedure === frame.procedure && programOf(entry.call) === frame.program;
    if (!isOfCall) {
      throw new ProtocolError(`a reply to call ${frame.serial}, which was not made`);
    }
    this.#inFlight.delete(frame.serial);
    entry.call.onOutcome?.(frame.status === MessageStatus.ok, entry.abandoned);
    if (!entry.abandoned) entry.settle(outcomeOf(entry.call, frame, this.#options.onSurplus));
    this.#sendNext();
  }

  /** The connection ended: everybody who waits is told, and whether their call had been sent. */
  fail(reason: CloseReason): void {
    this.#closed = reason;
    const sent = [...this.#inFlight.values()];
    const unsent = this.#queue;
    this.#inFlight.clear();
    this.#queue = [];
    for (const [entries, outcomeUnknown] of [[sent, true] as const, [unsent, false] as const]) {
      for (const { call, settle, abandoned } of entries) {
        const failure = { procedure: call.name, outcomeUnknown };
        if (!abandoned) settle(new ConnectionLost(failure, reason));
      }
    }
  }

  #sendNext(): void {
    while (this.#inFlight.size < this.#options.maxInFlight) {
      const entry = this.#queue.shift();
      if (entry === undefined) return;
      this.#send(entry);
    }
  }

  #send(entry: Entry): void {
    const { call } = entry;
    const { name, procedure, body } = call;
    const serial = this.#nextSerial();
    this.#inFlight.set(serial, entry);
    call.onSerial?.(serial);
    const { call: type } = MessageType;
    const frame = { program: programOf(call), procedure, type, serial, status: 0, body };
    this.#options.send(frame).catch((cause: unknown) => {
      // The link's end settles every call; only a message that could not be written at all is left.
      if (!this.#inFlight.delete(serial) || entry.abandoned) return;
      const message = cause instanceof Error ? cause.message : String(cause);
      const failure = { procedure: name, outcomeUnknown: true };
      entry.settle(new ConnectionLost(failure, { kind: CloseKind.peer, message, cause }));
    });
  }

  /** A call in flight keeps its place until its reply comes, because the daemon still works on it. */
  #abandon(
    entry: Entry,
    makeError: (failure: { procedure: string; outcomeUnknown: boolean }) => Error,
  ): void {
    const queuedAt = this.#queue.indexOf(entry);
    const outcomeUnknown = queuedAt < 0;
    if (queuedAt >= 0) this.#queue.splice(queuedAt, 1);
    entry.abandoned = true;
    entry.settle(makeError({ procedure: entry.call.name, outcomeUnknown }));
  }

  #nextSerial(): number {
    do {
      this.#lastSerial = this.#lastSerial >= MAX_SERIAL ? 1 : this.#lastSerial + 1;
    } while (this.#inFlight.has(this.#lastSerial));
    return this.#lastSerial;
  }
}

const programOf = ({ program = Program.remote }: OutgoingCall): number => program;

/** A body that cannot be read fails its call, not the connection: the stream of messages is intact. */
function outcomeOf(call: OutgoingCall, frame: Frame, onSurplus: SurplusHandler): Reply | Error {
  if (frame.status === MessageStatus.ok) return { serial: frame.serial, body: frame.body };
  try {
    const decoder = new XdrDecoder(frame.body);
    const error = remoteError.decode(decoder);
    if (decoder.remainingBytes > 0) onSurplus('the error body', decoder.remainingBytes);
    return new LibvirtError(call.name, error);
  } catch (cause) {
    return new ProtocolError(`${call.name}: the daemon's error cannot be read`, { cause });
  }
}
