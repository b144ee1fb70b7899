import { createSecureContext } from 'node:tls';
import { describeAddress, type ChannelTls, type NbdAddress } from './channel.ts';
import { describeCommand, type CommandSpec, type StatusExtent } from './command.ts';
import { Command, CommandFlag, TransmissionFlag } from './constants.ts';
import { Connection, type ConnectionOptions, type RunOptions } from './connection.ts';
import { NbdError, NbdErrorKind } from './errors.ts';
import type { BlockSize, Negotiated } from './negotiation.ts';

/** Mutual TLS: PEM texts, and the name or IP address that the server's certificate must carry. */
export interface NbdTlsOptions {
  /** The only authority whose certificates count; the system's are not consulted. */
  ca: string;
  /** The client's certificate and key; without them most servers refuse. */
  cert?: string;
  key?: string;
  /**
   * Revocation lists, one PEM text each. With any of them every certificate of the server's chain needs the list of its
   * issuer, and one that has not expired: the error's cause tells which rule was broken, by OpenSSL's name in `code`.
   */
  crl?: readonly string[];
  /** Default: the host that is dialled. Has to be given for unix sockets. */
  serverName?: string;
}

export interface OpenPoolOptions {
  address: NbdAddress;
  /** Default: the empty name, the server's default export. */
  exportName?: string;
  tls?: NbdTlsOptions;
  /** Default: `base:allocation`. Contexts that the server does not know are absent from `info`. */
  metaContexts?: readonly string[];
  /** Wanted number of connections, 1 by default; only one is made if the export forbids several, or over a stream. */
  connections?: number;
  /** Commands in flight per connection, 16 by default. */
  maxInFlight?: number;
  /** Default 10 s. */
  connectTimeoutMs?: number;
  /** Per command, default 60 s; a flush has ten times as long. */
  requestTimeoutMs?: number;
  /** How long an aborted command waits for its reply before the connection is closed; default 1 s. */
  abortGraceMs?: number;
  /** Aborts opening; later each command takes its own. */
  signal?: AbortSignal;
}

/** What is known of an export. Sizes are bytes. */
export interface ExportInfo {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly blockSize: BlockSize;
  readonly canFlush: boolean;
  readonly canFua: boolean;
  readonly canTrim: boolean;
  readonly canWriteZeroes: boolean;
  readonly canFastZero: boolean;
  readonly canMultiConn: boolean;
  readonly structuredReplies: boolean;
  /** The agreed ones, by name. */
  readonly metaContexts: ReadonlySet<string>;
}

export interface WriteOptions {
  signal?: AbortSignal | undefined;
  /** Answer only once the bytes are on stable storage. */
  fua?: boolean;
}

export interface WriteZeroesOptions extends WriteOptions {
  /** Allocate the range instead of punching a hole. */
  noHole?: boolean;
  /** Fail with ENOTSUP rather than be as slow as a write. */
  fast?: boolean;
}

const exportInfo = (negotiated: Negotiated): ExportInfo => {
  const has = (flag: number): boolean => (negotiated.flags & flag) !== 0;
  return {
    sizeBytes: negotiated.sizeBytes,
    readOnly: has(TransmissionFlag.readOnly),
    blockSize: negotiated.blockSize,
    canFlush: has(TransmissionFlag.sendFlush),
    canFua: has(TransmissionFlag.sendFua),
    canTrim: has(TransmissionFlag.sendTrim),
    canWriteZeroes: has(TransmissionFlag.sendWriteZeroes),
    canFastZero: has(TransmissionFlag.sendFastZero),
    canMultiConn: has(TransmissionFlag.canMultiConn),
    structuredReplies: negotiated.structuredReplies,
    metaContexts: new Set(negotiated.metaContexts.values()),
  };
};

/**
 * AES-128 first, unlike Node's order: it is as safe for the life of a copy, and a fifth faster on both sides. Servers
 * of QEMU follow the client's order.
 */
const ciphers = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

const channelTls = (options: NbdTlsOptions, address: NbdAddress): ChannelTls => {
  const serverName = options.serverName ?? ('host' in address ? address.host : undefined);
  if (serverName === undefined || serverName === '') {
    throw new NbdError(NbdErrorKind.invalid, 'TLS over a unix socket needs the name to expect');
  }
  const { ca, cert, key, crl = [] } = options;
  try {
    const material = { ca, cert, key, ...(crl.length > 0 && { crl: [...crl] }) };
    const context = createSecureContext({ ...material, minVersion: 'TLSv1.3', ciphers });
    return { context, serverName };
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new NbdError(NbdErrorKind.tls, `the TLS material is of no use: ${text}`, { cause });
  }
};

/**
 * An open export over one or more connections. Commands may run concurrently; each goes to the
 * connection with the least to do. The loss of one connection ends the pool: nobody resumes in silence.
 */
export class NbdClient {
  readonly info: ExportInfo;
  /** How many commands may usefully be in flight. */
  readonly parallelism: number;
  readonly #connections: readonly Connection[];
  readonly #contexts: ReadonlyMap<number, string>;
  readonly #timeoutMs: number;

  constructor(
    connections: readonly Connection[],
    negotiated: Negotiated,
    limits: { maxInFlight: number; requestTimeoutMs: number },
  ) {
    this.info = exportInfo(negotiated);
    this.#connections = connections;
    this.#contexts = negotiated.metaContexts;
    this.#timeoutMs = limits.requestTimeoutMs;
    this.parallelism = connections.length * limits.maxInFlight;
  }

  get connectionCount(): number {
    return this.#connections.length;
  }

  /** Fills `into`. When it rejects, nothing writes to `into` any more. */
  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const spec = { command: Command.read, flags: 0, offset, length: into.length, into };
    this.#checkPayload(spec);
    if (into.length > 0) await this.#run(spec, { signal });
  }

  async write(offset: number, data: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const flags = this.#fua(options);
    const spec = { command: Command.write, flags, offset, length: data.length, payload: data };
    this.#checkWritable();
    this.#checkPayload(spec);
    if (data.length > 0) await this.#run(spec, options);
  }

  /** Up to 4 GiB at once. */
  async writeZeroes(
    offset: number,
    length: number,
    options: WriteZeroesOptions = {},
  ): Promise<void> {
    this.#checkWritable();
    this.#require(this.info.canWriteZeroes, 'does not offer to write zeroes');
    this.#require(options.fast !== true || this.info.canFastZero, 'does not offer fast zeroes');
    const flags =
      this.#fua(options) |
      (options.noHole === true ? CommandFlag.noHole : 0) |
      (options.fast === true ? CommandFlag.fastZero : 0);
    await this.#run({ command: Command.writeZeroes, flags, offset, length }, options);
  }

  /** Afterwards the range may read as anything. */
  async trim(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    this.#checkWritable();
    this.#require(this.info.canTrim, 'does not offer trim');
    await this.#run({ command: Command.trim, flags: this.#fua(options), offset, length }, options);
  }

  /** Resolves once every write that was answered before is on stable storage, on all connections. */
  async flush(signal?: AbortSignal): Promise<void> {
    this.#require(this.info.canFlush, 'does not offer flush');
    const spec = { command: Command.flush, flags: 0, offset: 0, length: 0 };
    // A server that allows several connections promises that one flush covers them all.
    await this.#run(spec, { signal, timeoutMs: this.#timeoutMs * 10 });
  }

  /**
   * Extents from `offset` on, by context name. A server may answer for less than was asked (at least one
   * extent), and the last extent of a context may go beyond it.
   */
  async blockStatus(
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<Map<string, StatusExtent[]>> {
    this.#require(this.#contexts.size > 0, 'offers no block status');
    const spec = { command: Command.blockStatus, flags: 0, offset, length };
    const { statuses } = await this.#run(spec, { signal });
    const byName = new Map<string, StatusExtent[]>();
    for (const [id, extents] of statuses) byName.set(this.#contexts.get(id) ?? '', extents);
    return byName;
  }

  /** Says goodbye on all connections; what is under way rejects. Safe to call twice. */
  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  async #run(spec: CommandSpec, options: Partial<RunOptions>) {
    this.#checkRange(spec);
    const [first, ...others] = this.#connections;
    if (first === undefined) throw new NbdError(NbdErrorKind.closed, 'no NBD connection');
    let best = first;
    for (const connection of [first, ...others]) {
      if (connection.lost !== undefined) throw connection.lost;
      if (connection.load < best.load) best = connection;
    }
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    return best.run(spec, { timeoutMs, signal: options.signal });
  }

  #fua(options: WriteOptions): number {
    if (options.fua !== true) return 0;
    this.#require(this.info.canFua, 'does not offer forced unit access');
    return CommandFlag.fua;
  }

  #checkWritable(): void {
    this.#require(!this.info.readOnly, 'is read-only');
  }

  #require(met: boolean, what: string): void {
    if (!met) throw new NbdError(NbdErrorKind.invalid, `the NBD export ${what}`);
  }

  #checkPayload(spec: CommandSpec): void {
    const { maximum } = this.info.blockSize;
    this.#require(
      spec.length <= maximum,
      `takes ${maximum} bytes at most: ${describeCommand(spec)}`,
    );
  }

  #checkRange(spec: CommandSpec): void {
    if (spec.command === Command.flush) return;
    const { offset, length } = spec;
    const { sizeBytes, blockSize } = this.info;
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    const inRange = whole && offset >= 0 && length > 0 && offset + length <= sizeBytes;
    this.#require(inRange, `has ${sizeBytes} bytes: ${describeCommand(spec)}`);
    this.#require(length <= 0xffffffff, `takes 32-bit lengths only: ${describeCommand(spec)}`);
    const aligned = offset % blockSize.minimum === 0 && length % blockSize.minimum === 0;
    this.#require(aligned, `wants multiples of ${blockSize.minimum}: ${describeCommand(spec)}`);
  }
}

const sameExport = (a: Negotiated, b: Negotiated): boolean =>
  a.sizeBytes === b.sizeBytes &&
  a.flags === b.flags &&
  a.structuredReplies === b.structuredReplies &&
  a.blockSize.minimum === b.blockSize.minimum &&
  a.blockSize.maximum === b.blockSize.maximum &&
  JSON.stringify([...a.metaContexts]) === JSON.stringify([...b.metaContexts]);

/**
 * Opens an export. Rejects with NbdError: `unreachable`, `timeout`, `tls`, `refused`, `protocol`, `aborted`;
 * connections that were made already are closed then.
 */
export const openPool = async (options: OpenPoolOptions): Promise<NbdClient> => {
  const { address, signal, maxInFlight = 16, requestTimeoutMs = 60_000 } = options;
  const connection: ConnectionOptions = {
    address,
    negotiation: {
      exportName: options.exportName ?? '',
      tls: options.tls !== undefined,
      metaContexts: options.metaContexts ?? ['base:allocation'],
    },
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    maxInFlight,
    abortGraceMs: options.abortGraceMs ?? 1000,
    ...(options.tls && { tls: channelTls(options.tls, address) }),
  };
  const first = await Connection.open(connection, signal);
  const opened = [first.connection];
  try {
    const allowed = (first.negotiated.flags & TransmissionFlag.canMultiConn) !== 0;
    const multi = allowed && !('stream' in address);
    const wanted = multi ? Math.min(Math.max(options.connections ?? 1, 1), 16) : 1;
    while (opened.length < wanted) {
      const next = await Connection.open(connection, signal);
      opened.push(next.connection);
      if (sameExport(first.negotiated, next.negotiated)) continue;
      const message = `NBD server ${describeAddress(address)} shows another export each time`;
      throw new NbdError(NbdErrorKind.protocol, message);
    }
    return new NbdClient(opened, first.negotiated, { maxInFlight, requestTimeoutMs });
  } catch (error) {
    await Promise.all(opened.map((each) => each.close()));
    throw error;
  }
};
