/** What can go wrong with an SSH session, as one class with a kind to decide on. */

/** The text of an error is for people; decide on its kind. */
export const SshErrorKind = {
  /** No TCP connection, no SSH server there, or no common algorithms: the handshake did not finish. */
  unreachable: 'unreachable',
  /** The server proved another host key than the pinned one; nothing secret was sent to it. */
  hostKeyMismatch: 'host-key-mismatch',
  /** The server did not admit the user with what was offered, or the agent could not help. */
  authentication: 'authentication',
  /** The session works, but the server would not open this channel; `reason` says why. */
  refused: 'refused',
  /** More channels at once than the session was allowed; nothing was asked of the server. */
  busy: 'busy',
  /** Not done within the time allowed. */
  timeout: 'timeout',
  /** The session ended under whatever was under way; what was sent may have arrived or not. */
  lost: 'lost',
  /** The caller's signal fired. */
  aborted: 'aborted',
  /** What the caller gave is of no use: a malformed fingerprint, a key that cannot be read. */
  invalid: 'invalid',
} as const;
export type SshErrorKind = (typeof SshErrorKind)[keyof typeof SshErrorKind];

/** Why a server refuses a channel: the reason codes of RFC 4254, section 5.1. */
export const RefusalReason = {
  /** The server's configuration forbids it (1). */
  prohibited: 'prohibited',
  /** Nothing takes connections there, or the user may not connect to it (2). */
  connectFailed: 'connect-failed',
  /** The server does not know this kind of channel (3). */
  unknownChannelType: 'unknown-channel-type',
  /** The server is short of something (4), or gave no reason. */
  other: 'other',
} as const;
export type RefusalReason = (typeof RefusalReason)[keyof typeof RefusalReason];

/** More about an error, where there is more. */
export interface SshErrorOptions {
  readonly cause?: unknown;
  readonly expected?: string;
  readonly seen?: string;
  readonly reason?: RefusalReason;
}

/** The one error class of this client. Its message never holds a secret. */
export class SshError extends Error {
  override readonly name = 'SshError';
  readonly kind: SshErrorKind;
  /** The pinned fingerprint, `SHA256:...`, if `kind` is `host-key-mismatch`. */
  readonly expected?: string;
  /** The fingerprint of the key that the server proved, if `kind` is `host-key-mismatch`. */
  readonly seen?: string;
  /** Given if `kind` is `refused`. */
  readonly reason?: RefusalReason;

  constructor(kind: SshErrorKind, message: string, options: SshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    if (options.expected !== undefined) this.expected = options.expected;
    if (options.seen !== undefined) this.seen = options.seen;
    if (options.reason !== undefined) this.reason = options.reason;
  }
}

/** The words of whatever was thrown. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Trying several addresses fails with an AggregateError, whose own message is empty.
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(errorText).join('; ');
  return error.message || error.name;
}

/** The error for a signal that fired: the caller's, or that of a time limit (`AbortSignal.timeout`). */
export function abortError(what: string, reason: unknown): SshError {
  const timedOut = reason instanceof DOMException && reason.name === 'TimeoutError';
  const kind = timedOut ? SshErrorKind.timeout : SshErrorKind.aborted;
  const words = timedOut ? 'was not done in time' : 'was given up';
  return new SshError(kind, `${what} ${words}`, { cause: reason });
}
