/** What can go wrong between us and a SOAP server, as one class with a kind to decide on. */
import type { XmlElement } from './element.ts';

/** The text of an error is for people; decide on its kind. */
export const SoapErrorKind = {
  /** No TCP connection, or no TLS server there. */
  unreachable: 'unreachable',
  /** The server showed another certificate than the pinned one; nothing secret was sent to it. */
  thumbprintMismatch: 'thumbprint-mismatch',
  /** The certificate is not vouched for by the authority that was given, or is for another name, or has run out. */
  untrusted: 'untrusted',
  /** An answer that is no SOAP answer: `status` is HTTP's. */
  http: 'http',
  /** The server says that the call failed: `fault` tells how. */
  fault: 'fault',
  /** The answer breaks the protocol or our bounds: size, depth, encoding. */
  malformed: 'malformed',
  /** Not done within the time allowed; the server may have done it or not. */
  timeout: 'timeout',
  /** The connection ended under a request; the server may have done it or not. */
  lost: 'lost',
  /** The caller's signal fired. */
  aborted: 'aborted',
  /** What the caller gave is of no use: a malformed thumbprint, an address that is not https. */
  invalid: 'invalid',
} as const;
export type SoapErrorKind = (typeof SoapErrorKind)[keyof typeof SoapErrorKind];

/** A fault as the server told it. */
export interface SoapFault {
  /** Local name of the detail's type, `NotAuthenticated`; empty if the server gave none. */
  type: string;
  /** The server's words, cut short. */
  text: string;
  /** The detail's element, bounded like every answer. */
  detail: XmlElement | undefined;
}

/** More about an error, where there is more. */
export interface SoapErrorOptions {
  cause?: unknown;
  status?: number;
  fault?: SoapFault;
  expected?: string;
  seen?: string;
}

/** The one error class of this client. Its message never holds a secret. */
export class SoapError extends Error {
  override readonly name = 'SoapError';
  readonly kind: SoapErrorKind;
  /** Given if `kind` is `http`. */
  readonly status?: number;
  /** Given if `kind` is `fault`. */
  readonly fault?: SoapFault;
  /** The pinned thumbprint, if `kind` is `thumbprint-mismatch`. */
  readonly expected?: string;
  /** That of the certificate which the server showed, by the same hash, if `kind` is `thumbprint-mismatch`. */
  readonly seen?: string;

  constructor(kind: SoapErrorKind, message: string, options: SoapErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    if (options.status !== undefined) this.status = options.status;
    if (options.fault !== undefined) this.fault = options.fault;
    if (options.expected !== undefined) this.expected = options.expected;
    if (options.seen !== undefined) this.seen = options.seen;
  }
}

/** Whether it is a fault of that type: `NotAuthenticated`, `InvalidLogin`. */
export const isFault = (error: unknown, ...types: string[]): boolean =>
  error instanceof SoapError && error.fault !== undefined && types.includes(error.fault.type);

/** The words of whatever was thrown. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Trying several addresses fails with an AggregateError, whose own message is empty.
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(errorText).join('; ');
  return error.message || error.name;
}
