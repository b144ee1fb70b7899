/**
 * What can go wrong on a libvirt connection, a class each. Where a call may have been carried out
 * although no reply came, `outcomeUnknown` says so: read the state back before trying again.
 */
import { errorNameOf } from './error-codes.ts';
import type { ErrorName } from './error-codes.ts';
import type { RemoteError } from './types.ts';

export { ProtocolError } from './xdr.ts';

/** The daemon answered a call with an error. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  /** virErrorNumber. */
  readonly code: number;
  /** The number's name, `UNKNOWN` for one that this client does not know. */
  readonly codeName: ErrorName | 'UNKNOWN';
  /** virErrorDomain: the part of libvirt that failed (10 QEMU, 18 storage, 34 hook). */
  readonly domain: number;
  /** virErrorLevel: 1 warning, 2 error. */
  readonly level: number;
  /** The parts of the message, as libvirt sends them. */
  readonly strings: readonly string[];
  /** The call that failed. */
  readonly procedure: string;

  constructor(procedure: string, body: RemoteError) {
    super(body.message ?? `libvirt error ${body.code} without a message`);
    this.procedure = procedure;
    this.code = body.code;
    this.codeName = errorNameOf(body.code) ?? 'UNKNOWN';
    this.domain = body.domain;
    this.level = body.level;
    this.strings = [body.string1, body.string2, body.string3].filter((each) => each !== undefined);
  }
}

/** Why a connection ended. */
export const CloseKind = {
  /** `close()` was called here. */
  local: 'local',
  /** The other side closed it, or the network did. */
  peer: 'peer',
  /** No answer to keep-alive messages. */
  keepAlive: 'keep-alive',
  /** The other side sent what is no libvirt message. */
  protocol: 'protocol',
} as const;
export type CloseKind = (typeof CloseKind)[keyof typeof CloseKind];

/** Why a connection ended, as `connection.closed` gives it. */
export interface CloseReason {
  readonly kind: CloseKind;
  readonly message: string;
  readonly cause?: unknown;
}

interface CallFailure {
  /** The call that was made. */
  readonly procedure: string;
  /** Whether it had been sent, so that the daemon may have carried it out or may yet do so. */
  readonly outcomeUnknown: boolean;
}

const outcomeOf = ({ outcomeUnknown }: CallFailure): string =>
  outcomeUnknown ? 'its outcome is unknown' : 'it was not sent';

/** The connection ended before the reply. */
export class ConnectionLost extends Error implements CallFailure {
  override readonly name = 'ConnectionLost';
  readonly procedure: string;
  readonly outcomeUnknown: boolean;
  readonly kind: CloseKind;

  constructor(call: CallFailure, reason: CloseReason) {
    super(`${call.procedure}: connection lost (${reason.message}); ${outcomeOf(call)}`, {
      cause: reason.cause,
    });
    this.procedure = call.procedure;
    this.outcomeUnknown = call.outcomeUnknown;
    this.kind = reason.kind;
  }
}

/** No reply within the call's time. A reply that comes later is dropped. */
export class CallTimeout extends Error implements CallFailure {
  override readonly name = 'CallTimeout';
  readonly procedure: string;
  readonly outcomeUnknown: boolean;
  readonly timeoutMs: number;

  constructor(call: CallFailure, timeoutMs: number) {
    super(`${call.procedure}: no reply within ${timeoutMs} ms; ${outcomeOf(call)}`);
    this.procedure = call.procedure;
    this.outcomeUnknown = call.outcomeUnknown;
    this.timeoutMs = timeoutMs;
  }
}

/** The caller's signal fired; `cause` is the signal's reason. The daemon goes on with what it got. */
export class CallAborted extends Error implements CallFailure {
  override readonly name = 'CallAborted';
  readonly procedure: string;
  readonly outcomeUnknown: boolean;

  constructor(call: CallFailure, cause: unknown) {
    super(`${call.procedure}: aborted by the caller; ${outcomeOf(call)}`, { cause });
    this.procedure = call.procedure;
    this.outcomeUnknown = call.outcomeUnknown;
  }
}

/** More calls wait for their turn than a connection keeps; nothing was sent. */
export class TooManyCalls extends Error implements CallFailure {
  override readonly name = 'TooManyCalls';
  readonly procedure: string;
  readonly outcomeUnknown = false;

  constructor(procedure: string, limit: number) {
    super(`${procedure}: ${limit} calls wait on this connection already; it was not sent`);
    this.procedure = procedure;
  }
}

/** The socket could not be opened, or the daemon did not complete the opening in time. */
export class ConnectFailed extends Error {
  override readonly name = 'ConnectFailed';
  readonly endpoint: string;

  constructor(endpoint: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`cannot connect to libvirt at ${endpoint}: ${reason}`, { cause });
    this.endpoint = endpoint;
  }
}

/** TLS failed because one side does not trust the other's certificate. */
export class CertificateRejected extends Error {
  override readonly name = 'CertificateRejected';
  readonly endpoint: string;
  /** Whose certificate was refused: ours (`client`) by the daemon, or the daemon's (`server`) by us. */
  readonly whose: 'client' | 'server';

  constructor(options: { endpoint: string; whose: 'client' | 'server'; cause?: unknown }) {
    const { endpoint, whose, cause } = options;
    const reason = cause instanceof Error ? ` (${cause.message})` : '';
    super(
      whose === 'client'
        ? `libvirt at ${endpoint} refused this client's certificate${reason}; look at the daemon's CA and its tls_allowed_dn_list`
        : `the certificate of libvirt at ${endpoint} is not trusted${reason}`,
      { cause },
    );
    this.endpoint = endpoint;
    this.whose = whose;
  }
}

/** The daemon asks for a log-in that this client does not have. */
export class AuthenticationRequired extends Error {
  override readonly name: string = 'AuthenticationRequired';
  /** What the daemon offers: `sasl`, `polkit`, or the number of an unknown kind. */
  readonly offered: readonly string[];
  /** The SASL mechanisms, if the daemon named them: `scram-sha-256,gssapi`. */
  readonly mechanisms: string | undefined;

  constructor(options: AuthenticationErrorOptions) {
    const { offered, mechanisms, message, cause } = options;
    const kinds = offered.join(' or ') + (mechanisms === undefined ? '' : ` (${mechanisms})`);
    super(
      message ?? `libvirt asks for authentication by ${kinds}, of which nothing can be used here`,
      cause === undefined ? undefined : { cause },
    );
    this.offered = offered;
    this.mechanisms = mechanisms;
  }
}

/**
 * The log-in was tried in vain: a wrong password, a user that polkit does not admit, or a daemon that
 * did not prove that it knows the password (`cause` is then no `LibvirtError`). No text holds a secret.
 */
export class AuthenticationFailed extends AuthenticationRequired {
  override readonly name = 'AuthenticationFailed';
  /** `polkit`, or the SASL mechanism: `SCRAM-SHA-256`. */
  readonly method: string;

  constructor(options: AuthenticationErrorOptions & { readonly method: string }) {
    const { method, cause } = options;
    const reason = cause instanceof Error ? `: ${cause.message}` : '';
    super({ ...options, message: `the log-in to libvirt by ${method} failed${reason}` });
    this.method = method;
  }
}

interface AuthenticationErrorOptions {
  readonly offered: readonly string[];
  readonly mechanisms?: string | undefined;
  readonly message?: string;
  readonly cause?: unknown;
}
