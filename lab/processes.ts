/**
 * Processes by what cannot be mistaken: a pid together with its start time, and the namespaces it lives in.
 * A pid alone may name a stranger by the time it is used.
 */
import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';

/** A process that cannot be mixed up with a later one of the same number. */
export interface ProcessId {
  pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since the machine's boot. */
  startTime: string;
}

interface ProcessStat {
  state: string;
  startTime: string;
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command stands in parentheses and may hold anything, spaces and parentheses too.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

/** The identity of a living process; undefined if there is none or it is only waiting to be reaped. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  if (stat === undefined || stat.state === 'Z' || stat.state === 'X') return undefined;
  return { pid, startTime: stat.startTime };
}

/** Whether exactly this process still lives. */
export const isAlive = (process: ProcessId): boolean =>
  identify(process.pid)?.startTime === process.startTime;

/** Sends a signal if exactly this process still lives; says whether it did. */
export function signalProcess(target: ProcessId, signal: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

export type NamespaceKind = 'mnt' | 'net' | 'uts';

/** Inode of a process's namespace; undefined if the process is gone or has given its namespaces up. */
export function namespaceOf(pid: number | 'self', kind: NamespaceKind): number | undefined {
  try {
    const inode = /\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[1];
    return inode === undefined ? undefined : Number(inode);
  } catch {
    return undefined;
  }
}

/** Inode of a named network namespace, pinned as long as the name exists; undefined if there is none. */
export function namedNetworkNamespace(name: string): number | undefined {
  return statSync(`/run/netns/${name}`, { throwIfNoEntry: false })?.ino;
}

/** Pids of all processes that live in the given network namespace; never those of this process's own. */
export function processesInNetwork(inode: number): number[] {
  if (inode === namespaceOf('self', 'net')) return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => namespaceOf(pid, 'net') === inode);
}

/** This boot of the machine: pids and namespaces recorded under another one mean nothing now. */
export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
