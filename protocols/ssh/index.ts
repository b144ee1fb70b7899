/** SSH sessions with pinned host keys, for forwarded unix and TCP sockets. `README.md` shows their use. */
export type { Secret, SshAuth, SshQuestion } from './authentication.ts';
export { RefusalReason, SshError, SshErrorKind } from './errors.ts';
export type { Jump, SshKeepAlive } from './handshake.ts';
export { SshCloseKind, SshSession } from './session.ts';
export type { ChannelOptions, SshCloseReason, SshOptions } from './session.ts';
