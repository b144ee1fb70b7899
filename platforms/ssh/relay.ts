/** A unix socket of the host where its sshd forwards none: a program there carries the bytes. */
import type { Duplex } from 'node:stream';
import { needsOperator, transient } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import { commandLine, RefusalReason, runCommand, SshError } from '../../protocols/ssh/index.ts';
import type { SshSession } from '../../protocols/ssh/index.ts';

/** Prints what is the matter with the socket `$1`, else the first program that can carry it. */
const lookScript = `
[ -S "$1" ] || { echo missing; exit; }
[ -r "$1" ] && [ -w "$1" ] || { echo denied; exit; }
if command -v socat >/dev/null 2>&1; then echo socat
elif nc -h 2>&1 | grep -q -e ' -[A-Za-z]*U'; then echo nc
else echo none; fi`;

/**
 * Opens a socket by forwarding, or by a program on the host where sshd refuses that. Throws `remote-socket-missing`,
 * `remote-socket-denied`, `stream-forwarding-refused`, and what SSH throws.
 */
export async function openSocket(
  session: SshSession,
  path: string,
  { host, signal }: { host: string; signal?: AbortSignal | undefined },
): Promise<Duplex> {
  const options = signal === undefined ? {} : { signal };
  try {
    return await session.openUnixSocket(path, options);
  } catch (error) {
    if (!(error instanceof SshError) || error.reason === undefined) throw error;
    if (error.reason === RefusalReason.other) throw error;
    const looked = await runCommand(session, ['sh', '-c', lookScript, 'sh', path], options);
    const program = looked.stdout.trim();
    const args = relays[program]?.(path);
    if (args === undefined) throw refusal(program, { path, host, cause: error });
    return session.openCommand(commandLine(['exec', ...args]), options);
  }
}

const relays: Readonly<Partial<Record<string, (path: string) => string[]>>> = {
  socat: (path) => ['socat', '-', `UNIX-CONNECT:${path.replaceAll(/[\\,:!"']/g, '\\$&')}`],
  nc: (path) => ['nc', '-U', path],
};

function refusal(
  found: string,
  { path, host, cause }: { path: string; host: string; cause: SshError },
): VmFerryError {
  if (found === 'missing') {
    return transient({
      code: 'remote-socket-missing',
      message: `${host} has no socket ${path}`,
      remedy: 'See that libvirt runs there: systemctl status libvirtd (or virtqemud).',
      host,
      cause,
    });
  }
  if (found === 'denied') {
    return needsOperator({
      code: 'remote-socket-denied',
      message: `the user of this provider may not connect to ${path} on ${host}`,
      remedy:
        'Put that user into the group that owns the socket (usually `usermod -aG libvirt USER`), or log in as root.',
      host,
      cause,
    });
  }
  return needsOperator({
    code: 'stream-forwarding-refused',
    message: `sshd on ${host} forwards no unix sockets, and there is neither socat nor nc -U: ${cause.message}`,
    remedy:
      'Set `AllowStreamLocalForwarding yes` in sshd_config there and reload sshd, or install socat.',
    host,
    cause,
  });
}
