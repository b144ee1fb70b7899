/** Whom a server has to be: by its certificate's hash, by an authority, or, if somebody writes it out, anybody. */
import { Agent } from 'node:https';
import type { AgentOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { errorText, SoapError, SoapErrorKind } from './errors.ts';

/** One of the four; `insecure` takes any certificate, so whoever is in between can read passwords and disks. */
export type TlsTrust =
  /** Of the certificate in DER, hex with or without colons. */
  | { sha256: string }
  /** As old vCenters show it. Weaker, but it is a second preimage that an attacker would need. */
  | { sha1: string }
  /** Certificates of authorities, PEM; name and validity are checked. */
  | { ca: string }
  | { insecure: true };

export interface PinnedServerOptions {
  host: string;
  port: number;
  trust: TlsTrust;
  /** Own address that connections are made from; the routes choose it if absent. */
  localAddress?: string | undefined;
  /** For TCP and TLS together. */
  connectTimeoutMs: number;
}

const hexDigits = { sha256: 64, sha1: 40 };

/** Upper-case hex with colons, as OpenSSL prints it. Throws `SoapError` (invalid) if it is no such hash. */
export function canonicalThumbprint(text: string, hash: 'sha256' | 'sha1'): string {
  const digits = text.replaceAll(/[:\s]/g, '').toUpperCase();
  if (!/^[0-9A-F]*$/.test(digits) || digits.length !== hexDigits[hash]) {
    const message = `"${text.slice(0, 100)}" is no ${hash === 'sha1' ? 'SHA-1' : 'SHA-256'} thumbprint`;
    throw new SoapError(SoapErrorKind.invalid, message);
  }
  return digits.match(/../g)?.join(':') ?? '';
}

/** Checked before the first byte of a request leaves: a socket that is not trusted is never given to anybody. */
type Verify = (socket: TLSSocket) => SoapError | undefined;

interface Rule {
  options: ConnectionOptions;
  verify: Verify;
}

function ruleOf({ trust, host, port }: PinnedServerOptions): Rule {
  const name = `${host}:${port}`;
  if ('insecure' in trust)
    return { options: { rejectUnauthorized: false }, verify: () => undefined };
  if ('ca' in trust) return { options: { ca: trust.ca }, verify: () => undefined };
  const hash = 'sha256' in trust ? 'sha256' : 'sha1';
  const expected = canonicalThumbprint('sha256' in trust ? trust.sha256 : trust.sha1, hash);
  const verify: Verify = (socket) => {
    const certificate = socket.getPeerCertificate();
    const seen = hash === 'sha256' ? certificate.fingerprint256 : certificate.fingerprint;
    if (seen === expected) return undefined;
    const message = `${name} shows a certificate with the thumbprint ${seen}, not ${expected}`;
    return new SoapError(SoapErrorKind.thumbprintMismatch, message, { expected, seen });
  };
  return { options: { rejectUnauthorized: false }, verify };
}

/** One server and what it has to show. Throws `SoapError` (invalid) for a malformed hash. */
export class PinnedServer {
  readonly name: string;
  readonly #options: PinnedServerOptions;
  readonly #rule: Rule;

  constructor(options: PinnedServerOptions) {
    this.name = `${options.host}:${options.port}`;
    this.#options = options;
    this.#rule = ruleOf(options);
  }

  /**
   * Calls back with a socket whose other end was checked, or with `SoapError`: unreachable, thumbprint-mismatch,
   * untrusted. `more` are options for the socket alone.
   */
  connect(
    more: ConnectionOptions,
    callback: (error: SoapError | undefined, socket: TLSSocket) => void,
  ): void {
    const { host, port, localAddress, connectTimeoutMs } = this.#options;
    const servername = isIP(host) === 0 ? { servername: host } : {};
    const minVersion = 'TLSv1.2';
    const socket = connect({
      ...more,
      ...this.#rule.options,
      host,
      port,
      ...servername,
      ...(localAddress === undefined ? {} : { localAddress }),
      minVersion,
    });
    const settle = (error?: SoapError): void => {
      clearTimeout(timer);
      socket.off('error', onError).off('close', onClose).off('secureConnect', onSecure);
      // It may complain again while it is torn down; nobody waits for that any more.
      if (error !== undefined) socket.on('error', () => undefined).destroy();
      callback(error, socket);
    };
    const onError = (cause: Error): void => settle(connectError(this.name, cause));
    const onClose = (): void =>
      settle(connectError(this.name, new Error('it closed the connection')));
    const onSecure = (): void => settle(this.#rule.verify(socket));
    const timer = setTimeout(() => {
      const message = `${this.name} did not answer within ${connectTimeoutMs / 1000} s`;
      settle(new SoapError(SoapErrorKind.unreachable, message));
    }, connectTimeoutMs);
    socket.on('error', onError).on('close', onClose).on('secureConnect', onSecure);
    socket.setNoDelay(true);
  }
}

/** Keeps connections to one server, each of which was checked. */
export class PinningAgent extends Agent {
  readonly #server: PinnedServer;

  /** `connections`: most at once; further requests wait. */
  constructor(server: PinnedServer, connections: number) {
    // A resumed session shows no certificate, so none is resumed.
    super({ keepAlive: true, maxSockets: connections, maxCachedSessions: 0, scheduling: 'fifo' });
    this.#server = server;
  }

  /** Node calls back with the socket once it is fit for use, so that no request is written to another. */
  override createConnection(
    _options: AgentOptions,
    callback: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#server.connect({}, (error, socket) => callback(error ?? null, socket));
    return undefined;
  }
}

const untrustedCodes: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'HOSTNAME_MISMATCH',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

function connectError(name: string, cause: Error & { code?: string }): SoapError {
  const isUntrusted = untrustedCodes.has(cause.code ?? '');
  const kind = isUntrusted ? SoapErrorKind.untrusted : SoapErrorKind.unreachable;
  const words = isUntrusted ? 'shows a certificate that is not trusted' : 'cannot be reached';
  return new SoapError(kind, `${name} ${words}: ${errorText(cause)}`, { cause });
}
