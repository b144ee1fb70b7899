/** A connection to one libvirt daemon: typed calls, events, keep-alive. */
import type { Duplex } from 'node:stream';
import {
  CallTimeout,
  CloseKind,
  ConnectFailed,
  ConnectionLost,
  LibvirtError,
  ProtocolError,
} from './errors.ts';
import type { CloseReason } from './errors.ts';
import type { Codec } from './codec.ts';
import { Calls } from './calls.ts';
import type { OutgoingCall } from './calls.ts';
import { events } from './events.ts';
import type { EventName } from './events.ts';
import { HEADER_BYTES, MessageType, Program } from './framing.ts';
import type { Frame } from './framing.ts';
import { agreeOnKeepAlive, shakeHands } from './handshake.ts';
import type { Versions } from './handshake.ts';
import { KeepAlive } from './keep-alive.ts';
import type { KeepAliveOptions } from './keep-alive.ts';
import { Link } from './link.ts';
import { wireCallOf } from './procedures.ts';
import { qemuAnswer, qemuMonitorCall } from './procedures/qemu.ts';
import type { ArgsOf, ProcedureName, ResultOf, StreamName } from './procedures.ts';
import type { SaslCredentials } from './sasl/mechanisms.ts';
import type { RpcStream } from './stream.ts';
import { Streams } from './streams.ts';
import { SharedRegistrations } from './shared-registrations.ts';
import { Subscriptions } from './subscriptions.ts';
import type { EventHandler } from './subscriptions.ts';
import type { SurplusHandler } from './surplus.ts';
import { endpointName, openTransport } from './transport.ts';
import type { Endpoint } from './transport.ts';
import type { DomainRef } from './types.ts';
import { MAX_MESSAGE_BYTES, XdrDecoder, XdrEncoder } from './xdr.ts';

export type OpenOptions = Endpoint & {
  /** The driver to open: `qemu:///system`. */
  readonly uri: string;
  /** The daemon then refuses every change. Off unless it is given. */
  readonly readOnly?: boolean;
  /** For a daemon that asks for SASL; never sent to one that does not. */
  readonly sasl?: SaslCredentials;
  /** The limit of the whole opening, and of each call that names none. 30 s unless it is given. */
  readonly timeoutMs?: number;
  /** Gives up the opening; it has no effect on an open connection. */
  readonly signal?: AbortSignal;
  /** Every 5 s, 5 times, unless it is given; false turns it off. */
  readonly keepAlive?: KeepAliveOptions | false;
  /**
   * What the daemon's configuration has as `max_client_requests`; 5, as by default there, unless it
   * is given. With 1 there is no keep-alive: the daemon would not even read it during a call.
   */
  readonly maxClientRequests?: number;
  /**
   * Calls that the daemon works on at the same time; more wait here, first come, first served. One
   * less than `maxClientRequests` unless it is given: while as many as that run, the daemon stops to
   * read, keep-alive included.
   */
  readonly maxInFlight?: number;
  /** Calls that may wait for their turn; 1,000 unless it is given. */
  readonly maxQueued?: number;
  /** Told of bytes that follow what this client knows of a message. Without it they are passed by. */
  readonly onSurplus?: SurplusHandler;
  /** Told what an event handler threw. Without it, that is an uncaught exception of the process. */
  readonly onHandlerError?: (error: unknown) => void;
};

export interface CallOptions {
  /** Long calls (a migration) need their own limit, at most 24 days. */
  readonly timeoutMs?: number;
  /** Rejects the call with `CallAborted`. The daemon is not told: it goes on. */
  readonly signal?: AbortSignal;
}

/** A registered event handler. */
export interface Subscription {
  /** No event is delivered any more from the moment of this call. */
  stop(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_KEEP_ALIVE: KeepAliveOptions = { intervalMs: 5_000, count: 5 };
const DEFAULT_MAX_CLIENT_REQUESTS = 5;
const DEFAULT_MAX_QUEUED = 1_000;
/** How long `close` waits for the daemon to agree. */
const CLOSE_TIMEOUT_MS = 2_000;

/** Open one with `Connection.open`. Every method may be called at any time, many at once. */
export class Connection {
  readonly #link: Link;
  readonly #calls: Calls;
  readonly #keepAlive: KeepAlive;
  readonly #subscriptions: Subscriptions;
  readonly #registrations: SharedRegistrations;
  readonly #streams: Streams;
  readonly #timeoutMs: number;
  readonly #onSurplus: SurplusHandler;
  readonly #closed = Promise.withResolvers<CloseReason>();
  #versions: Versions = { libvirt: 0, hypervisor: undefined };
  #closing: Promise<void> | undefined;

  private constructor(stream: Duplex, options: OpenOptions) {
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#onSurplus = options.onSurplus ?? (() => undefined);
    const { onHandlerError = throwLater } = options;
    this.#subscriptions = new Subscriptions({ onHandlerError, onSurplus: this.#onSurplus });
    this.#registrations = new SharedRegistrations(onHandlerError);
    const { maxClientRequests = DEFAULT_MAX_CLIENT_REQUESTS } = options;
    this.#link = new Link(stream, {
      onFrame: (frame) => this.#onFrame(frame),
      onClose: (reason) => this.#onClose(reason),
    });
    this.#calls = new Calls({
      maxInFlight: options.maxInFlight ?? Math.max(1, maxClientRequests - 1),
      maxQueued: options.maxQueued ?? DEFAULT_MAX_QUEUED,
      send: (frame) => this.#link.send(frame),
      onSurplus: this.#onSurplus,
    });
    this.#keepAlive = new KeepAlive({
      send: (frame) => this.#link.send(frame),
      onDead: (message) => this.#link.end({ kind: CloseKind.keepAlive, message }),
    });
    this.#streams = new Streams({
      send: (frame) => this.#link.send(frame),
      onReading: (reading) => {
        this.#keepAlive.setListening(reading);
        this.#link.setReading(reading);
      },
    });
  }

  /**
   * Connects, logs in and opens the driver. Rejects with `ConnectFailed`, `CertificateRejected`,
   * `AuthenticationRequired` or its subclass `AuthenticationFailed`, `LibvirtError` where the daemon
   * refuses the URI, or what the source of the password threw; nothing stays open.
   */
  static async open(options: OpenOptions): Promise<Connection> {
    const limit = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
    const connection = new Connection(await openTransport(options, signal), options);
    try {
      await connection.#shakeHands(options, signal);
      return connection;
    } catch (error) {
      connection.#link.end({ kind: CloseKind.local, message: 'the opening failed', cause: error });
      if (signal.aborted) throw new ConnectFailed(endpointName(options), signal.reason);
      if (error instanceof ConnectionLost || error instanceof CallTimeout)
        throw new ConnectFailed(endpointName(options), error);
      throw error;
    }
  }

  /** libvirt's version: 9000000 is 9.0.0. */
  get libvirtVersion(): number {
    return this.#versions.libvirt;
  }

  /** The hypervisor's version, counted alike; undefined where the driver cannot tell. */
  get hypervisorVersion(): number | undefined {
    return this.#versions.hypervisor;
  }

  /** Resolves, never rejects, once the connection has ended, whatever ended it. */
  get closed(): Promise<CloseReason> {
    return this.#closed.promise;
  }

  /**
   * Makes a call of the wire table (`procedures.ts`). Rejects with `LibvirtError` if the daemon
   * refuses; `ConnectionLost`, `CallTimeout` or `CallAborted` if no reply came, each of which says
   * whether the outcome is unknown; `TooManyCalls`; `ProtocolError` for an argument that cannot be
   * sent or a reply that cannot be read.
   */
  async call<N extends ProcedureName>(
    name: N,
    args: ArgsOf<N>,
    options: CallOptions = {},
  ): Promise<ResultOf<N>> {
    return this.#ask({ name, ...wireCallOf(name) }, args, options);
  }

  /**
   * Gives a VM's QEMU an order of its machine protocol (QMP) past libvirt, which notes in its log that somebody did
   * (`custom-monitor`); gives QEMU's answer, with `return` or `error`. Rejects like `call`. For what libvirt has no call for.
   */
  async qemuMonitor(
    dom: DomainRef,
    order: { execute: string; arguments?: Record<string, unknown> },
    options: CallOptions = {},
  ): Promise<{ error?: { class: string; desc: string } }> {
    const wire = { name: 'QemuDomainMonitorCommand', program: Program.qemu, ...qemuMonitorCall };
    const { result } = await this.#ask(wire, { dom, cmd: JSON.stringify(order) }, options);
    return qemuAnswer(result);
  }

  /**
   * Makes a call that opens a stream; rejects like `call`, and with `TooManyCalls` while 16 streams
   * are open. Whoever gets the stream must bring it to its end or abort it. `downloadVolume` and
   * `uploadVolume` do.
   */
  async openStream(
    name: StreamName,
    args: ArgsOf<StreamName>,
    options: CallOptions = {},
  ): Promise<RpcStream> {
    let stream: RpcStream | undefined;
    const outgoing = this.#outgoing({ name, ...wireCallOf(name) }, args, options);
    const { procedure } = outgoing;
    const direction = name === 'StorageVolUpload' ? 'upload' : 'download';
    const onSerial = (serial: number): void => {
      stream = this.#streams.begin({ name, procedure, serial, direction });
    };
    const onOutcome = (succeeded: boolean, abandoned: boolean): void => {
      if (!succeeded) stream?.discard();
      else stream?.accept();
      // Nobody waits for it any more, but at the daemon it is open.
      if (succeeded && abandoned) void stream?.abort();
    };
    const call = { ...outgoing, onSerial, onOutcome };
    this.#streams.reserve(name);
    try {
      await this.#calls.make(call);
    } finally {
      // TypeScript does not see that the callbacks set it.
      if (stream === undefined) this.#streams.release();
    }
    if (stream === undefined) throw new ProtocolError(`${name}: no stream was opened`);
    return stream;
  }

  /**
   * Sends a call without its arguments and gives back the refusal, for `Abilities`. Resolves with
   * undefined where the daemon took it, which no call that has arguments can be. `number` asks for
   * one that this client does not have.
   */
  async probe(
    name: ProcedureName,
    options: CallOptions & { readonly number?: number } = {},
  ): Promise<LibvirtError | undefined> {
    const {
      timeoutMs = this.#timeoutMs,
      signal,
      number: procedure,
    } = {
      number: wireCallOf(name).number,
      ...options,
    };
    const call = { name, procedure, body: new Uint8Array(), timeoutMs, signal };
    try {
      await this.#calls.make(call);
      return undefined;
    } catch (error) {
      if (error instanceof LibvirtError) return error;
      throw error;
    }
  }

  /**
   * Calls `handler` for each event of a kind, of one domain or of all. Resolves once the daemon has
   * registered it: no event after that is missed, as long as the connection lasts.
   */
  async onEvent<N extends EventName>(
    name: N,
    handler: EventHandler<N>,
    options: CallOptions & { readonly dom?: DomainRef } = {},
  ): Promise<Subscription> {
    const { dom, ...callOptions } = options;
    const register = async (): Promise<number> => {
      const { eventId } = events[name];
      const args = { eventId, dom };
      const reply = await this.call('ConnectDomainEventCallbackRegisterAny', args, callOptions);
      return reply.callbackId;
    };
    const leave = await this.#registrations.join(
      `${name} ${dom?.uuid ?? ''}`,
      handler as (payload: unknown) => void,
      {
        register: (deliver) => this.#subscriptions.add(register, deliver),
        deregister: (callbackId) => this.#deregister(callbackId),
      },
    );
    let stopping: Promise<void> | undefined;
    return { stop: () => (stopping ??= leave()) };
  }

  /** Calls `handler` whenever a domain starts, stops, is defined or undefined, and so on. */
  onLifecycle(
    handler: EventHandler<'DomainEventCallbackLifecycle'>,
    options: CallOptions & { readonly dom?: DomainRef } = {},
  ): Promise<Subscription> {
    return this.onEvent('DomainEventCallbackLifecycle', handler, options);
  }

  /**
   * Says goodbye, for 2 s at most, and closes. Calls that still run are rejected with
   * `ConnectionLost`; whether they end with the connection is the daemon's affair: a peer-to-peer
   * migration goes on.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask<A, R>(
    wire: Wire<A> & { result: Codec<R> },
    args: A,
    options: CallOptions,
  ): Promise<R> {
    const { body } = await this.#calls.make(this.#outgoing(wire, args, options));
    const from = new XdrDecoder(body);
    const value = wire.result.decode(from);
    if (from.remainingBytes > 0) this.#onSurplus(wire.name, from.remainingBytes);
    return value;
  }

  #outgoing<A>(wire: Wire<A>, args: A, options: CallOptions): OutgoingCall {
    const { name, program, number: procedure } = wire;
    const { timeoutMs = this.#timeoutMs, signal } = options;
    const to = new XdrEncoder(MAX_MESSAGE_BYTES - HEADER_BYTES);
    wire.args.encode(to, args);
    return { name, program, procedure, body: to.finish(), timeoutMs, signal };
  }

  async #shakeHands(options: OpenOptions, signal: AbortSignal): Promise<void> {
    // The signal carries the limit of the whole opening, so a call needs none of its own.
    const callNow = <N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<ResultOf<N>> =>
      this.call(name, args, { signal });
    const { uri, readOnly = false, keepAlive = DEFAULT_KEEP_ALIVE, sasl } = options;
    const isPrivate = !('stream' in options);
    const versions = await shakeHands(callNow, { uri, readOnly, sasl, isPrivate, signal });
    this.#versions = versions;
    const canAnswer = options.maxClientRequests !== 1;
    if (keepAlive !== false && canAnswer && (await agreeOnKeepAlive(callNow)))
      this.#keepAlive.start(keepAlive);
  }

  async #deregister(callbackId: number): Promise<void> {
    this.#subscriptions.remove(callbackId);
    if (this.#link.closeReason !== undefined) return;
    await this.call('ConnectDomainEventCallbackDeregisterAny', { callbackId });
  }

  async #close(): Promise<void> {
    const reason = { kind: CloseKind.local, message: 'it was closed here' };
    // Whatever the daemon says, or if it says nothing, the connection ends; it need not be told why.
    await this.#sayGoodbye().catch(() => undefined);
    this.#link.end(reason);
  }

  /** Past the queue: calls that take their time are no reason to wait. */
  async #sayGoodbye(): Promise<void> {
    const { number: procedure } = wireCallOf('ConnectClose');
    const call = { name: 'ConnectClose', procedure, body: new Uint8Array(), urgent: true };
    await this.#calls.make({ ...call, timeoutMs: CLOSE_TIMEOUT_MS });
  }

  #onFrame(frame: Frame): void {
    this.#keepAlive.heard();
    const { program, type } = frame;
    if (program === Program.keepAlive) this.#keepAlive.onFrame(frame);
    else if (type === MessageType.reply && isAsked(program)) this.#calls.onReply(frame);
    else if (program !== Program.remote) {
      // Drivers have programs of their own, and events of them that nobody here asked for.
      if (type === MessageType.event) return;
      throw new ProtocolError(`program ${program} was not asked for anything`);
    } else if (type === MessageType.event) this.#subscriptions.onEvent(frame);
    else if (type === MessageType.stream || type === MessageType.streamHole) {
      this.#streams.onFrame(frame);
    } else throw new ProtocolError(`a message of type ${type} was not expected`);
  }

  #onClose(reason: CloseReason): void {
    this.#keepAlive.stop();
    this.#calls.fail(reason);
    this.#streams.fail(reason);
    this.#closed.resolve(reason);
  }
}

const isAsked = (program: number): boolean =>
  program === Program.remote || program === Program.qemu;

/** What the bytes of a call need; of `Program.remote` if it names no other. */
interface Wire<A> {
  readonly name: string;
  readonly program?: number;
  readonly number: number;
  readonly args: Codec<A>;
}

/** As an event emitter would have it: nobody caught it, so nobody must overlook it. */
function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
