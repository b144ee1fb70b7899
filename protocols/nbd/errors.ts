/** What went wrong, as a class to decide on; the text is for people. */
export const NbdErrorKind = {
  /** The server could not be reached or did not finish the handshake. */
  unreachable: 'unreachable',
  /** The connection was lost, or was closed by either side, while in use. */
  closed: 'closed',
  /** No complete answer within the time allowed; the connection is given up. */
  timeout: 'timeout',
  /** The caller's signal fired. */
  aborted: 'aborted',
  /** Either side rejected the other's certificate, or TLS is missing where it was asked for. */
  tls: 'tls',
  /** The server speaks correctly and says no: unknown export, policy, TLS required. */
  refused: 'refused',
  /** The server broke the protocol; nothing it says can be trusted. */
  protocol: 'protocol',
  /** The server answered a command with an error number; the connection lives on. */
  server: 'server',
  /** The request was wrong: out of range, unaligned, or not offered by this export. */
  invalid: 'invalid',
} as const;
export type NbdErrorKind = (typeof NbdErrorKind)[keyof typeof NbdErrorKind];

/** The error numbers of the NBD specification ("Error values"), by the names of errno(3). */
const errnoNames = new Map<number, string>([
  [1, 'EPERM'],
  [5, 'EIO'],
  [12, 'ENOMEM'],
  [22, 'EINVAL'],
  [28, 'ENOSPC'],
  [75, 'EOVERFLOW'],
  [95, 'ENOTSUP'],
  [108, 'ESHUTDOWN'],
]);

/** The name of an error number that came over the wire, `E<number>` if the specification has none. */
export const errnoName = (value: number): string => errnoNames.get(value) ?? `E${value}`;

export interface NbdErrorOptions {
  cause?: unknown;
  errno?: string;
}

/** The one error class of this client. `errno` is set when `kind` is `server`. */
export class NbdError extends Error {
  override readonly name = 'NbdError';
  readonly kind: NbdErrorKind;
  readonly errno?: string;

  constructor(kind: NbdErrorKind, message: string, options: NbdErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    if (options.errno !== undefined) this.errno = options.errno;
  }
}

/** For a server that broke the protocol. */
export const protocolError = (message: string): NbdError =>
  new NbdError(NbdErrorKind.protocol, `NBD server broke the protocol: ${message}`);
