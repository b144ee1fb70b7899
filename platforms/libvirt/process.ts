/**
 * Processes that outlive the worker: known again by PID, start time and namespace, never by PID alone, since
 * a PID is given out anew and the lab's hosts share one machine.
 */
import { readFile, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { transient } from '../../domain/errors.ts';
import { readProcFile } from './proc-file.ts';

/** One process, for as long as it lives. */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of `/proc/<pid>/stat`: clock ticks after boot. Text, as it is only compared. */
  startTime: string;
}

/** How often `/proc` is read while a process that is no child of ours comes up or goes down, ms. */
const lookEveryMs = 20;

/** The start time of a live process; undefined if there is none (a zombie counts as none). */
export const startTimeOf = (pid: number): string | undefined =>
  startTimeIn(readProcFile(`/proc/${pid}/stat`));

/** The same by what its `stat` says. */
export function startTimeIn(stat: string | undefined): string | undefined {
  // The command in parentheses may itself hold spaces and parentheses: count from the last one.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  const state = fields[0];
  return state === undefined || state === 'Z' || state === 'X' ? undefined : fields[19];
}

/** The name of the program that a process runs, 15 bytes at most; undefined if there is no such process. */
export const programOf = (pid: number): string | undefined =>
  readProcFile(`/proc/${pid}/comm`)?.trimEnd();

/** The arguments of a process; empty if there is none. */
export async function argumentsOf(pid: number): Promise<string[]> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return line.split('\0').slice(0, -1);
}

/** Whether the process still lives and is the one that was started, with this argument, on this host. */
export async function isAlive(process: ProcessIdentity, argument: string): Promise<boolean> {
  const { pid, startTime } = process;
  if (startTimeOf(pid) !== startTime) return false;
  return (await argumentsOf(pid)).includes(argument) && (await isOnThisHost(pid));
}

/**
 * Whether it is on this host's network: the lab's hosts are namespaces that share their PIDs. Mount namespaces would
 * tell less: systemd gives a service a new one at each start, and what it left behind stays in the old.
 */
export async function isOnThisHost(pid: number): Promise<boolean> {
  const [theirs, ours] = await Promise.all(
    [`/proc/${pid}/ns/net`, '/proc/self/ns/net'].map((path) => readlink(path).catch(() => '')),
  );
  return theirs === ours && ours !== '';
}

/** Resolves true once `condition` holds, false after `timeoutMs`; rejects if the signal fires. */
export async function within(
  timeoutMs: number,
  condition: () => boolean | Promise<boolean>,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await delay(lookEveryMs, undefined, signal === undefined ? {} : { signal });
  }
}

export interface EndOptions {
  /** An argument that its command line must carry, or it is left alone. */
  argument: string;
  /** Host, for messages. */
  host: string;
  /** How long SIGTERM may take; 5 s if absent. */
  termMs?: number;
}

/**
 * Ends a process by SIGTERM, then SIGKILL; nothing happens if it is gone or its PID is another's now.
 * SIGTERM is repeated: qemu-nbd 7.2 loses one that comes while it starts. Throws `process-does-not-end`.
 */
export async function endProcess(process: ProcessIdentity, options: EndOptions): Promise<void> {
  const { argument, host, termMs = 5_000 } = options;
  const send = async (signal: NodeJS.Signals): Promise<boolean> => {
    if (!(await isAlive(process, argument))) return true;
    try {
      globalThis.process.kill(process.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    return false;
  };
  const gone = async (): Promise<boolean> => !(await isAlive(process, argument));
  for (let attempt = 0; attempt < 5; attempt += 1) {
    if (await send('SIGTERM')) return;
    if (await within(termMs / 5, gone)) return;
  }
  await send('SIGKILL');
  if (await within(5_000, gone)) return;
  throw transient({
    code: 'process-does-not-end',
    message: `process ${process.pid} (${argument}) on ${host} did not end even after SIGKILL`,
    remedy:
      'It waits for storage, most likely: look at the disks below it. Ending it is tried again.',
    host,
  });
}
