/** An SSH session to one host: its forwarded sockets, unix (libvirt) and TCP (NBD), commands and files. */
import type { Duplex } from 'node:stream';
import type { Client, ClientChannel, SFTPWrapper } from 'ssh2';
import { ChannelStream } from './channel-stream.ts';
import { RemoteCommand } from './command.ts';
import { abortError, errorText, RefusalReason, SshError, SshErrorKind } from './errors.ts';
import { connect, nameOf } from './handshake.ts';
import type { Connected, HandshakeOptions, SshKeepAlive } from './handshake.ts';
import { SftpFiles } from './sftp.ts';

/** How to open a session. */
export interface SshOptions extends HandshakeOptions {
  /** The limit of the whole opening, and of each channel's that names none. 20 s unless it is given. */
  readonly timeoutMs?: number;
  /** Every 5 s, 3 times, unless it is given; false turns it off. */
  readonly keepAlive?: SshKeepAlive | false;
  /** Channels open at the same time, those that are being opened included; 64 unless it is given. */
  readonly maxChannels?: number;
  /** Gives up the opening; it has no effect on an open session. */
  readonly signal?: AbortSignal;
}

/** How to open a channel. */
export interface ChannelOptions {
  readonly timeoutMs?: number;
  /** Gives up the opening; it has no effect on an open channel. */
  readonly signal?: AbortSignal;
}

/** What ended a session. */
export const SshCloseKind = {
  /** `close` was called. */
  local: 'local',
  /** The server closed it, or the network did. */
  peer: 'peer',
  /** The server did not answer any more. */
  keepAlive: 'keep-alive',
} as const;
export type SshCloseKind = (typeof SshCloseKind)[keyof typeof SshCloseKind];

/** Why a session ended. */
export interface SshCloseReason {
  readonly kind: SshCloseKind;
  readonly message: string;
  readonly cause?: unknown;
}

/** What a session ends with itself. */
interface Carried {
  destroy(error: Error): unknown;
  once(event: 'close', listener: () => void): unknown;
}

type Callback<C> = (error: Error | undefined, channel: C) => void;

/** How to ask the library for a channel, and what to make of it before anything else comes through it. */
interface Wish<C, T extends Carried> {
  readonly ask: (callback: Callback<C>) => void;
  readonly adopt: (channel: C, what: string) => T;
  /** Ends a channel that nobody waits for any more. */
  readonly discard: (channel: C) => void;
}

const DEFAULT_TIMEOUT_MS = 20_000;
const DEFAULT_MAX_CHANNELS = 64;
const DEFAULT_KEEP_ALIVE: SshKeepAlive = { intervalMs: 5_000, count: 3 };
/** How long `close` waits until the server has hung up. */
const CLOSE_TIMEOUT_MS = 2_000;
/** A server sees this as the origin of a TCP channel; it only logs it. */
const ORIGIN = { host: '127.0.0.1', port: 0 };

/** Open one with `SshSession.open`. Channels may be opened at any time, many at once. */
export class SshSession {
  readonly #client: Client;
  readonly #socket: Duplex;
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #maxChannels: number;
  readonly #streams = new Set<Carried>();
  #opening = 0;
  readonly #closed = Promise.withResolvers<SshCloseReason>();
  /** Fires when the session ends, so that channels that are being opened give up. */
  readonly #ended = new AbortController();
  #reason: SshCloseReason | undefined;

  private constructor({ client, socket }: Connected, options: SshOptions) {
    this.#client = client;
    this.#socket = socket;
    this.#name = nameOf(options);
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#maxChannels = options.maxChannels ?? DEFAULT_MAX_CHANNELS;
    client.on('error', (cause) => {
      const silent = cause.level === 'client-timeout';
      const kind = silent ? SshCloseKind.keepAlive : SshCloseKind.peer;
      const message = silent ? 'the server does not answer any more' : errorText(cause);
      this.#end({ kind, message, cause });
    });
    const hungUp = { kind: SshCloseKind.peer, message: 'the server hung up' };
    client.on('end', () => this.#end(hungUp)).on('close', () => this.#end(hungUp));
  }

  /**
   * Connects, checks the host key, then logs in. Rejects with `SshError`: invalid, unreachable,
   * host-key-mismatch, authentication, timeout or aborted; nothing stays open then.
   */
  static async open(options: SshOptions): Promise<SshSession> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, keepAlive = DEFAULT_KEEP_ALIVE } = options;
    const signal = withLimit(timeoutMs, options.signal);
    return new SshSession(await connect(options, keepAlive, signal), options);
  }

  /**
   * Connects to a unix socket of the server (OpenSSH 6.7 and later). Rejects with `SshError`:
   * refused (`reason` says why), busy (too many are open), timeout, aborted or lost. The stream fails with `lost` if the
   * session ends under it.
   */
  openUnixSocket(path: string, options: ChannelOptions = {}): Promise<Duplex> {
    return this.#open(
      `unix socket ${path}`,
      options,
      forwarded((callback) => this.#client.openssh_forwardOutStreamLocal(path, callback)),
    );
  }

  /** Connects to a TCP port as the server sees it; otherwise like `openUnixSocket`. */
  openTcp(host: string, port: number, options: ChannelOptions = {}): Promise<Duplex> {
    return this.#open(
      `port ${host}:${port}`,
      options,
      forwarded((callback) =>
        this.#client.forwardOut(ORIGIN.host, ORIGIN.port, host, port, callback),
      ),
    );
  }

  /**
   * Starts a command that the user's login shell reads as one line: `commandLine` makes one of arguments, and
   * `runCommand` waits for its end. Rejects like `openUnixSocket`; servers take ten at once, unless set up otherwise.
   */
  openCommand(line: string, options: ChannelOptions = {}): Promise<RemoteCommand> {
    return this.#open(`a command`, options, {
      ask: (callback) => this.#client.exec(line, callback),
      adopt: (channel: ClientChannel, what) => new RemoteCommand(channel, what),
      discard: (channel: ClientChannel) => channel.destroy(),
    });
  }

  /** Opens the server's files by SFTP. Rejects like `openUnixSocket`; `refused` where the server has no SFTP. */
  openSftp(options: ChannelOptions = {}): Promise<SftpFiles> {
    return this.#open('SFTP', options, {
      ask: (callback) => this.#client.sftp(callback),
      adopt: (sftp: SFTPWrapper, what) => new SftpFiles(sftp, what),
      discard: (sftp: SFTPWrapper) => sftp.end(),
    });
  }

  /** Resolves, never rejects, once the session has ended, whatever ended it. */
  get closed(): Promise<SshCloseReason> {
    return this.#closed.promise;
  }

  /** Ends all channels and the session; resolves when the connection is closed, in 2 s at most. */
  async close(): Promise<void> {
    this.#end({ kind: SshCloseKind.local, message: 'it was closed here' });
    await this.#closed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open<C, T extends Carried>(
    target: string,
    options: ChannelOptions,
    { ask, adopt, discard }: Wish<C, T>,
  ): Promise<T> {
    const what = `${target} of ${this.#name}`;
    if (this.#reason !== undefined) throw this.#lost(what);
    if (this.#streams.size + this.#opening >= this.#maxChannels) {
      const text = `${this.#maxChannels} channels are open already; ${what} was not asked for`;
      throw new SshError(SshErrorKind.busy, text);
    }
    this.#opening += 1;
    const limit = withLimit(options.timeoutMs ?? this.#timeoutMs, options.signal);
    const signal = AbortSignal.any([limit, this.#ended.signal]);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onAbort = (): void =>
      reject(
        this.#reason === undefined
          ? abortError(`opening ${what}`, signal.reason)
          : this.#lost(what),
      );
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      ask((error, channel) => {
        if (error !== undefined) reject(this.#refusal(what, error));
        // Nobody waits for it any more, but at the server it is open.
        else if (signal.aborted) discard(channel);
        // At once: its end may follow in the same packet.
        else resolve(this.#track(adopt(channel, what)));
      });
      return await promise;
    } catch (error) {
      throw error instanceof SshError ? error : this.#lost(what, error);
    } finally {
      this.#opening -= 1;
      signal.removeEventListener('abort', onAbort);
    }
  }

  #track<T extends Carried>(carried: T): T {
    this.#streams.add(carried);
    carried.once('close', () => this.#streams.delete(carried));
    return carried;
  }

  #refusal(what: string, error: Error): SshError {
    const code = (error as { reason?: unknown }).reason;
    // Without a reason it is not the server that speaks, but the library: of a request that the server refused
    // once the channel was open, or about a lost connection.
    if (typeof code !== 'number') {
      if (!/^Unable to (?:exec|start subsystem)/.test(error.message))
        return this.#lost(what, error);
      const words = `the server would not open ${what}: it does not offer that to this user`;
      const reason = RefusalReason.prohibited;
      return new SshError(SshErrorKind.refused, words, { reason, cause: error });
    }
    const { reason, words } = refusals[code] ?? {
      reason: RefusalReason.other,
      words: error.message,
    };
    const text = `the server would not open ${what}: ${words}`;
    return new SshError(SshErrorKind.refused, text, { reason, cause: error });
  }

  #lost(what: string, cause: unknown = this.#reason?.cause): SshError {
    const why = this.#reason?.message ?? (cause === undefined ? 'it is closed' : errorText(cause));
    const text = `the SSH session with ${what} was lost: ${why}`;
    return new SshError(SshErrorKind.lost, text, { cause });
  }

  #end(reason: SshCloseReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#ended.abort();
    for (const stream of this.#streams) stream.destroy(this.#lost(this.#name));
    if (this.#socket.closed) {
      this.#closed.resolve(reason);
      return;
    }
    const limit = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
    this.#socket.once('close', () => {
      clearTimeout(limit);
      this.#closed.resolve(reason);
    });
    if (reason.kind === SshCloseKind.local) this.#client.end();
    else this.#socket.destroy();
  }
}

/** By the codes of RFC 4254, section 5.1. */
const refusals: Readonly<Partial<Record<number, { reason: RefusalReason; words: string }>>> = {
  1: {
    reason: RefusalReason.prohibited,
    words: "its configuration forbids that (sshd's AllowTcpForwarding, PermitOpen)",
  },
  2: {
    reason: RefusalReason.connectFailed,
    // OpenSSH answers so, too, where its configuration forbids unix sockets (seen with 9.2).
    words:
      'nothing takes connections there, this user may not connect to it, ' +
      "or, for a unix socket, sshd's AllowStreamLocalForwarding forbids it",
  },
  3: { reason: RefusalReason.unknownChannelType, words: 'it does not know such channels' },
};

const forwarded = (
  ask: (callback: Callback<ClientChannel>) => void,
): Wish<ClientChannel, ChannelStream> => ({
  ask,
  adopt: (channel, what) => new ChannelStream(channel, what),
  discard: (channel) => channel.destroy(),
});

function withLimit(timeoutMs: number, signal: AbortSignal | undefined): AbortSignal {
  const limit = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? limit : AbortSignal.any([limit, signal]);
}
