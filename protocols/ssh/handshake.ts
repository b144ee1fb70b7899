/** Opens the connection of a session: TCP, key exchange, the pinned host key, authentication. */
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { Client, ClientErrorExtensions, ConnectConfig } from 'ssh2';
import { authenticationOf, withPassphrases } from './authentication.ts';
import type { Authentication, SshAuth } from './authentication.ts';
import { openBulkSocket } from './bulk-socket.ts';
import { abortError, errorText, SshError, SshErrorKind } from './errors.ts';
import { canonicalFingerprint, fingerprintOf, typeOf } from './host-key.ts';

/** Whom to connect to, as whom. */
export interface HandshakeOptions {
  readonly host: string;
  /** 22 unless it is given. */
  readonly port?: number;
  readonly username: string;
  /** One way, or several for a server that wants more than one, in their order. */
  readonly auth: SshAuth | readonly SshAuth[];
  /** The key that the server may have. There is no way to accept any. */
  readonly hostKey: {
    /**
     * As `ssh-keygen -lf` prints it: base64, with or without `SHA256:` before it. Several while a
     * host changes its key.
     */
    readonly sha256: string | readonly string[];
  };
  /** Own address that the connection is made from; the routes choose it if absent. */
  readonly localAddress?: string;
  /** A session with a host in between, which connects to `host` as it sees it; it stays open. */
  readonly via?: Jump;
  /** It is to carry many bytes to here: a mebibyte of memory, and a third less processor time for each of them. */
  readonly bulk?: boolean;
}

/** What a session offers to another one that goes through it. */
export interface Jump {
  openTcp(host: string, port: number, options: { readonly signal: AbortSignal }): Promise<Duplex>;
}

/** How often to ask a silent server whether it is there, and how many unanswered asks end the session. */
export interface SshKeepAlive {
  readonly intervalMs: number;
  readonly count: number;
}

/** A connection that is logged in. */
export interface Connected {
  readonly client: Client;
  readonly socket: Duplex;
}

const SSH_PORT = 22;

/** For messages: `user@host:port`. */
export const nameOf = ({ username, host, port = SSH_PORT }: HandshakeOptions): string =>
  `${username}@${host}:${port}`;

/**
 * Rejects with `SshError`: invalid, unreachable, host-key-mismatch, authentication, timeout or
 * aborted (by `signal`, which carries the limit); nothing stays open then.
 */
export async function connect(
  options: HandshakeOptions,
  keepAlive: SshKeepAlive | false,
  signal: AbortSignal,
): Promise<Connected> {
  const { auth } = options;
  const asked = withPassphrases('length' in auth ? auth : [auth]);
  const ways = await orAborted(asked, signal, () => abortError(whatOf(options), signal.reason));
  const attempt = new Attempt(options, ways);
  const client = new ssh2.Client();
  const socket = await openSocket(options, client, signal);
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onReady = (): void => resolve(undefined);
  const onHandshake = (): void => attempt.shookHands();
  const onError = (error: Error & ClientErrorExtensions): void => reject(attempt.explain(error));
  const onClose = (): void => reject(attempt.explain(new Error('it closed the connection')));
  const onAbort = (): void => reject(abortError(attempt.what, signal.reason));
  client.once('ready', onReady).once('handshake', onHandshake);
  client.on('error', onError).once('close', onClose);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    attempt.start(client, { ...keepAliveConfig(keepAlive), sock: socket });
    await promise;
    return { client, socket };
  } catch (error) {
    // The library may complain again while it is torn down; nobody waits for that any more.
    client.on('error', () => undefined);
    socket.on('error', () => undefined).destroy();
    throw error;
  } finally {
    client.off('error', onError).off('close', onClose);
    signal.removeEventListener('abort', onAbort);
  }
}

const keepAliveConfig = (keepAlive: SshKeepAlive | false): ConnectConfig =>
  keepAlive === false
    ? { keepaliveInterval: 0 }
    : { keepaliveInterval: keepAlive.intervalMs, keepaliveCountMax: keepAlive.count };

const whatOf = (options: HandshakeOptions): string => `the SSH login to ${nameOf(options)}`;

/** Directly, or through the host in between. */
async function openSocket(
  options: HandshakeOptions,
  client: Client,
  signal: AbortSignal,
): Promise<Duplex> {
  const { host, port = SSH_PORT, via, localAddress, bulk = false } = options;
  const from = localAddress === undefined ? {} : { localAddress };
  if (signal.aborted) throw abortError(whatOf(options), signal.reason);
  const to = { host, port, ...from, noDelay: true };
  if (via === undefined) return bulk ? openBulkSocket(to, client) : createConnection(to);
  try {
    return await via.openTcp(host, port, { signal });
  } catch (cause) {
    const refused = cause instanceof SshError && cause.kind === SshErrorKind.refused;
    if (!refused) throw cause;
    const text = `no SSH session with ${nameOf(options)}: ${cause.message}`;
    throw new SshError(SshErrorKind.unreachable, text, { cause });
  }
}

/** Resolves like `pending`, unless the signal fires before. */
async function orAborted<T>(
  pending: Promise<T>,
  signal: AbortSignal,
  makeError: () => Error,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(makeError());
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  pending.then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** One try to log in, and what became known on the way, which is what an error is explained by. */
class Attempt {
  readonly what: string;
  readonly #name: string;
  readonly #expected: readonly string[];
  readonly #authentication: Authentication;
  #mismatch: SshError | undefined;
  #shookHands = false;

  constructor(options: HandshakeOptions, auth: readonly SshAuth[]) {
    const { sha256 } = options.hostKey;
    this.#name = nameOf(options);
    this.what = whatOf(options);
    this.#expected = (typeof sha256 === 'string' ? [sha256] : sha256).map(canonicalFingerprint);
    this.#authentication = authenticationOf(options.username, auth);
  }

  /** Throws `SshError` (invalid) where the private key cannot be read. */
  start(client: Client, config: ConnectConfig): void {
    try {
      client.connect({
        ...config,
        ...this.#authentication.config,
        hostVerifier: (key: Buffer): boolean => this.#isPinned(key),
        // Our signal carries the limit.
        readyTimeout: 0,
        // Servers that are not OpenSSH may have its extensions, too; the others refuse.
        strictVendor: false,
        // Nothing signed by means of SHA-1.
        algorithms: { serverHostKey: { append: [], prepend: [], remove: ['ssh-rsa'] } },
      });
    } catch (cause) {
      const text = `${this.what} could not be tried: ${errorText(cause)}`;
      throw new SshError(SshErrorKind.invalid, text, { cause });
    }
  }

  shookHands(): void {
    this.#shookHands = true;
  }

  explain(error: Error & ClientErrorExtensions): SshError {
    if (this.#mismatch !== undefined) return this.#mismatch;
    if (error.level === 'agent') {
      const text = `the agent cannot log in to ${this.#name}: ${errorText(error)}`;
      return new SshError(SshErrorKind.authentication, text, { cause: error });
    }
    // Too many failures are told by disconnecting, with a number of RFC 4253 as code.
    const dismissed = this.#shookHands && typeof (error as { code?: unknown }).code === 'number';
    if (error.level === 'client-authentication' || dismissed) {
      const why = dismissed ? errorText(error) : this.#authentication.refusal();
      const text = `${this.#name} did not admit this user: ${why}`;
      return new SshError(SshErrorKind.authentication, text, { cause: error });
    }
    const text = `no SSH session with ${this.#name}: ${errorText(error)}`;
    return new SshError(SshErrorKind.unreachable, text, { cause: error });
  }

  /** Asked in the first key exchange and in each later one. */
  #isPinned(key: Buffer): boolean {
    const seen = fingerprintOf(key);
    if (this.#expected.includes(seen)) return true;
    const expected = this.#expected.join(' or ');
    const text =
      `the host key of ${this.#name} is not the pinned one: ` +
      `expected ${expected}, seen ${seen} (${typeOf(key)})`;
    this.#mismatch = new SshError(SshErrorKind.hostKeyMismatch, text, { expected, seen });
    return false;
  }
}
