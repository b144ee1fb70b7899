/** SSH sessions with pinned host keys: forwarded unix and TCP sockets, commands, files. `README.md` shows their use. */
export { withPassphrases } from './authentication.ts';
export type { Secret, SshAuth, SshQuestion } from './authentication.ts';
export type { CommandEnd, RemoteCommand } from './command.ts';
export { RefusalReason, SshError, SshErrorKind } from './errors.ts';
export { commandLine, quoteArgument, runCommand } from './exec.ts';
export type { CommandResult, RunOptions } from './exec.ts';
export type { Jump, SshKeepAlive } from './handshake.ts';
export { SftpError, SftpErrorKind } from './sftp.ts';
export type { SftpFile, SftpFiles, SftpStat } from './sftp.ts';
export { SshCloseKind, SshSession } from './session.ts';
export type { ChannelOptions, SshCloseReason, SshOptions } from './session.ts';
