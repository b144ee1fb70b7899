/** Programs on the server, by a list of arguments. SSH itself knows only one line, which a shell there reads. */
import type { CommandEnd } from './command.ts';
import { abortError, SshError, SshErrorKind } from './errors.ts';
import type { SshSession } from './session.ts';

/** How to run a program. */
export interface RunOptions {
  /** Of the whole run; 30 s unless it is given. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What may come on standard output, bytes; 1 MiB unless it is given. */
  readonly maxOutputBytes?: number;
  /** Fed to its standard input; nothing unless it is given. */
  readonly input?: string | Uint8Array;
}

/** A program that has ended. */
export interface CommandResult extends CommandEnd {
  readonly stdout: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_OUTPUT_BYTES = 1024 * 1024;
/** The longest argument list of most systems is 2 MiB, and 128 KiB for one argument. */
const MAX_LINE_BYTES = 64 * 1024;

/**
 * One argument as a POSIX shell reads it: plain words as they are, all else in single quotes, in which nothing has a
 * meaning. Throws `SshError` (invalid) for a NUL, which no argument can hold.
 */
export function quoteArgument(argument: string): string {
  if (argument.includes('\0')) {
    throw new SshError(SshErrorKind.invalid, 'an argument of a command holds a NUL');
  }
  if (/^[A-Za-z0-9_@%+:,./-]+$/.test(argument)) return argument;
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}

/** The line for a program and its arguments. Throws `SshError` (invalid) if it is empty or too long. */
export function commandLine(args: readonly string[]): string {
  const line = args.map(quoteArgument).join(' ');
  if (args.length === 0 || Buffer.byteLength(line) > MAX_LINE_BYTES) {
    const text = `a command of ${args.length} arguments and ${line.length} characters cannot be run`;
    throw new SshError(SshErrorKind.invalid, text);
  }
  return line;
}

/**
 * Runs a program and waits for its end, whatever its exit code. Rejects with `SshError`: as `openCommand`, `timeout`,
 * `aborted`, `lost`, or `invalid` where it says more than allowed; it is ended then as `RemoteCommand` tells.
 */
export async function runCommand(
  session: Pick<SshSession, 'openCommand'>,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, maxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES } = options;
  const line = commandLine(args);
  const limit = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
  const what = `the command ${args[0] ?? ''}`;
  const command = await session.openCommand(line, { timeoutMs, signal });
  const onAbort = (): void => void command.destroy(abortError(what, signal.reason));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    // Nothing is written where there is no input, not even an empty chunk: a quick program has ended by now.
    if (options.input === undefined) command.end();
    else command.end(options.input);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of command as AsyncIterable<Uint8Array>) {
      bytes += part.length;
      if (bytes > maxOutputBytes) {
        const text = `${what} says more than ${maxOutputBytes} bytes`;
        throw new SshError(SshErrorKind.invalid, text);
      }
      parts.push(part);
    }
    const end = await command.ended;
    if (end.exitCode === undefined && end.signal === undefined) {
      throw new SshError(SshErrorKind.lost, `the session ended before ${what} did`);
    }
    return { ...end, stdout: Buffer.concat(parts).toString() };
  } finally {
    signal.removeEventListener('abort', onAbort);
    command.on('error', () => undefined).destroy();
  }
}
