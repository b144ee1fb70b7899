import { Channel, describeAddress, type ChannelTls, type NbdAddress } from './channel.ts';
import { PendingCommand, describeCommand, requestHeader, type CommandSpec } from './command.ts';
import { Command, Limit } from './constants.ts';
import type { Conversation } from './demand.ts';
import { NbdError, NbdErrorKind } from './errors.ts';
import { negotiate, type Negotiated, type NegotiationRequest } from './negotiation.ts';
import { receiveReplies } from './replies.ts';

/** How one connection is made and bounded. */
export interface ConnectionOptions {
  address: NbdAddress;
  negotiation: NegotiationRequest;
  tls?: ChannelTls;
  /** For reaching the server and the whole handshake. */
  connectTimeoutMs: number;
  /** Commands sent and not answered; more wait in line. */
  maxInFlight: number;
  /** How long an aborted command may wait for its reply before the connection is given up. */
  abortGraceMs: number;
}

export interface RunOptions {
  /** From sending to the end of the reply; then the connection is given up. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

interface Job extends RunOptions {
  pending: PendingCommand;
  sent: boolean;
  abort?: NbdError;
  timer?: NodeJS.Timeout;
  onAbort: () => void;
  resolve(result: PendingCommand): void;
  reject(error: Error): void;
}

const abortError = (signal: AbortSignal, what: string): NbdError =>
  new NbdError(NbdErrorKind.aborted, `${what} was aborted`, { cause: signal.reason });

/**
 * One connection in its transmission phase. A command settles only when its buffer is free again:
 * after its reply, or after the connection is closed.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #sent = new Map<number, Job>();
  readonly #waiting: Job[] = [];
  readonly #channel: Channel;
  #cookie = 1;
  #lost: NbdError | undefined;
  #onReady: ((negotiated: Negotiated) => void) | undefined;
  #onLost: ((error: NbdError) => void) | undefined;

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    const { address, tls } = options;
    const conversation = this.#talk();
    const onEnd = (error: NbdError) => this.#end(error);
    this.#channel = new Channel({ address, conversation, onEnd, ...(tls && { tls }) });
  }

  /** Rejects with NbdError: `unreachable`, `timeout`, `tls`, `refused`, `protocol`, `aborted`. */
  static async open(
    options: ConnectionOptions,
    signal?: AbortSignal,
  ): Promise<{ connection: Connection; negotiated: Negotiated }> {
    const where = describeAddress(options.address);
    if (signal?.aborted === true) throw abortError(signal, `connecting to NBD server ${where}`);
    const connection = new Connection(options);
    const ready = Promise.withResolvers<Negotiated>();
    connection.#onReady = ready.resolve;
    connection.#onLost = ready.reject;
    const { connectTimeoutMs } = options;
    const timer = setTimeout(() => {
      const message = `NBD server ${where} did not finish the handshake in ${connectTimeoutMs} ms`;
      connection.#channel.end(new NbdError(NbdErrorKind.timeout, message));
    }, connectTimeoutMs);
    const onAbort = (): void => {
      if (signal) connection.#channel.end(abortError(signal, `connecting to NBD server ${where}`));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return { connection, negotiated: await ready.promise };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Commands sent or waiting: the measure by which a pool picks. */
  get load(): number {
    return this.#sent.size + this.#waiting.length;
  }

  /** Why the connection is of no more use, if so. */
  get lost(): NbdError | undefined {
    return this.#lost;
  }

  /** Sends a command, in turn; rejects with the server's error, or with the connection's. */
  async run(spec: CommandSpec, { timeoutMs, signal }: RunOptions): Promise<PendingCommand> {
    if (this.#lost !== undefined) throw this.#lost;
    if (signal?.aborted === true) throw abortError(signal, describeCommand(spec));
    if (this.#waiting.length >= Limit.queuedCommands) {
      throw new NbdError(NbdErrorKind.invalid, 'too many commands wait on one NBD connection');
    }
    const pending = new PendingCommand(spec);
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#abort(job);
      const job: Job = { pending, sent: false, timeoutMs, signal, onAbort, resolve, reject };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(job);
      this.#sendWaiting();
    });
  }

  /** Says goodbye and closes; what is still under way rejects as closed. Never takes over a second. */
  async close(): Promise<void> {
    if (this.#lost !== undefined) return;
    const message = `connection to NBD server ${describeAddress(this.#options.address)} was closed`;
    const closed = new NbdError(NbdErrorKind.closed, message);
    const timer = setTimeout(() => this.#channel.end(closed), 1000);
    const goodbye = { command: Command.disconnect, flags: 0, offset: 0, length: 0 };
    if (this.load === 0) {
      this.#channel.write(requestHeader(goodbye, 0));
      await this.#channel.finish();
    }
    clearTimeout(timer);
    this.#channel.end(closed);
  }

  *#talk(): Conversation<never> {
    const negotiated = yield* negotiate(this.#options.negotiation);
    this.#onReady?.(negotiated);
    return yield* receiveReplies({
      ...negotiated,
      find: (cookie) => this.#sent.get(cookie)?.pending,
      finish: (cookie) => this.#finish(cookie),
    });
  }

  #sendWaiting(): void {
    while (this.#sent.size < this.#options.maxInFlight) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      const cookie = this.#cookie++;
      const { spec } = job.pending;
      job.sent = true;
      job.timer = setTimeout(() => this.#timeOut(job), job.timeoutMs);
      this.#sent.set(cookie, job);
      const header = requestHeader(spec, cookie);
      if (spec.payload === undefined) this.#channel.write(header);
      else this.#channel.write(header, spec.payload);
    }
  }

  #timeOut(job: Job): void {
    const where = describeAddress(this.#options.address);
    const what = `NBD server ${where} did not answer ${describeCommand(job.pending.spec)}`;
    const error = new NbdError(NbdErrorKind.timeout, `${what} in ${job.timeoutMs} ms`);
    this.#channel.end(job.abort ?? error);
  }

  #abort(job: Job): void {
    if (job.signal === undefined || job.abort !== undefined) return;
    const error = abortError(job.signal, describeCommand(job.pending.spec));
    if (!job.sent) {
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      this.#settle(job, error);
      return;
    }
    // The kernel may be writing into the caller's buffer: wait for the reply, or close.
    job.abort = error;
    clearTimeout(job.timer);
    job.timer = setTimeout(() => this.#timeOut(job), this.#options.abortGraceMs);
  }

  #finish(cookie: number): void {
    const job = this.#sent.get(cookie);
    if (job === undefined) return;
    this.#sent.delete(cookie);
    this.#settle(job, job.abort ?? job.pending.failure);
    this.#sendWaiting();
  }

  #settle(job: Job, error: NbdError | undefined): void {
    clearTimeout(job.timer);
    job.signal?.removeEventListener('abort', job.onAbort);
    if (error === undefined) job.resolve(job.pending);
    else job.reject(error);
  }

  #end(error: NbdError): void {
    this.#lost = error;
    this.#onLost?.(error);
    const jobs = [...this.#sent.values(), ...this.#waiting];
    this.#sent.clear();
    this.#waiting.length = 0;
    for (const job of jobs) this.#settle(job, job.abort ?? error);
  }
}
