/** Opens the connection of a session: TCP, key exchange, the pinned host key, authentication. */
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import ssh2 from 'ssh2';
import type { Client, ClientErrorExtensions, ConnectConfig } from 'ssh2';
import { authenticationOf } from './authentication.ts';
import type { Authentication, SshAuth } from './authentication.ts';
import { abortError, errorText, SshError, SshErrorKind } from './errors.ts';
import { canonicalFingerprint, fingerprintOf, typeOf } from './host-key.ts';

/** Whom to connect to, as whom. */
export interface HandshakeOptions {
  readonly host: string;
  /** 22 unless it is given. */
  readonly port?: number;
  readonly username: string;
  readonly auth: SshAuth;
  /** The one key that the server may have. There is no way to accept any. */
  readonly hostKey: {
    /** As `ssh-keygen -lf` prints it: base64, with or without `SHA256:` before it. */
    readonly sha256: string;
  };
}

/** How often to ask a silent server whether it is there, and how many unanswered asks end the session. */
export interface SshKeepAlive {
  readonly intervalMs: number;
  readonly count: number;
}

/** A connection that is logged in. */
export interface Connected {
  readonly client: Client;
  readonly socket: Socket;
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
  const attempt = new Attempt(options);
  if (signal.aborted) throw abortError(attempt.what, signal.reason);
  const { host, port = SSH_PORT } = options;
  const socket = createConnection({ host, port, noDelay: true });
  const client = new ssh2.Client();
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

/** One try to log in, and what became known on the way, which is what an error is explained by. */
class Attempt {
  readonly what: string;
  readonly #name: string;
  readonly #expected: string;
  readonly #authentication: Authentication;
  #mismatch: SshError | undefined;
  #shookHands = false;

  constructor(options: HandshakeOptions) {
    this.#name = nameOf(options);
    this.what = `the SSH login to ${this.#name}`;
    this.#expected = canonicalFingerprint(options.hostKey.sha256);
    this.#authentication = authenticationOf(options.username, options.auth);
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
    const expected = this.#expected;
    if (seen === expected) return true;
    const text =
      `the host key of ${this.#name} is not the pinned one: ` +
      `expected ${expected}, seen ${seen} (${typeOf(key)})`;
    this.#mismatch = new SshError(SshErrorKind.hostKeyMismatch, text, { expected, seen });
    return false;
  }
}
