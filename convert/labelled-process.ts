/**
 * Programs of a conversion and all that they start (the appliance's QEMU, qemu-nbd, nbdkit), known again by a label
 * in their environment: it is inherited, so it also finds what outlived a killed worker or left its process group.
 */
import { spawn } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { permanent, transient } from '../domain/errors.ts';

const variable = 'VMFERRY_CONVERSION';

/** A conversion's ID stands in paths and environments: letters, digits, `.`, `_`, `-`, at most 128 of them. */
export function checkConversionId(id: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)) return;
  throw permanent({
    code: 'conversion-id-invalid',
    message: `a conversion cannot be called ${JSON.stringify(id.slice(0, 140))}`,
    remedy: 'Report this with the message.',
  });
}

export interface LabelledRun {
  /** The conversion that it belongs to. */
  id: string;
  program: string;
  args: readonly string[];
  /** All that it gets to see of the environment, beside the label. */
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** After so long its whole tree is ended, ms. */
  limitMs: number;
  signal?: AbortSignal;
  onOutput?: (text: string, stream: 'stdout' | 'stderr') => void;
  /** What it reads on its standard input; nothing if absent. */
  input?: string;
  /** Instead of `input`: gets its standard input open, to write to and to end. */
  talk?: (input: Writable) => void;
  /** How long its tree may take to end by SIGTERM before SIGKILL, ms; 3 s if absent. */
  termMs?: number;
}

export interface RunEnd {
  /** Exit status; null if a signal ended it. */
  status: number | null;
  /** It was not there or not executable. */
  missing: boolean;
  timedOut: boolean;
}

/**
 * Runs a program without a shell, to its end. However it ends, nothing of its tree is left when this returns.
 * Rejects with the signal's reason once all is ended; every other failure is in the result.
 */
export async function runLabelled(run: LabelledRun): Promise<RunEnd> {
  const { id, program, args, env, cwd, limitMs, signal, onOutput, input, talk, termMs } = run;
  checkConversionId(id);
  signal?.throwIfAborted();
  const child = spawn(program, args, {
    cwd,
    env: { ...env, [variable]: id },
    stdio: [input === undefined && talk === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    // Its own session: a Ctrl-C at a worker's terminal goes to the worker, which ends it in order.
    detached: true,
  });
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => onOutput?.(text, name));
  }
  // A program that ends before it has read all of its input shows by its status.
  child.stdin?.on('error', () => undefined);
  if (child.stdin !== null && talk !== undefined) talk(child.stdin);
  else child.stdin?.end(input);
  const ended = new AbortController();
  const state = { timedOut: false };
  const end = async (): Promise<void> => {
    await waitForEnd(signal, limitMs, ended.signal).then(
      (why) => (state.timedOut = why === 'late'),
    );
    if (!ended.signal.aborted) await endLabelled(id, termMs);
  };
  const ending = end();
  const { missing, status } = await new Promise<{ missing: boolean; status: number | null }>(
    (resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => {
        if (child.pid === undefined) resolve({ missing: true, status: null });
        else throw error;
      });
      child.once('exit', (code) => resolve({ missing: false, status: code }));
    },
  );
  ended.abort();
  await ending;
  // What it left in the background would hold the disks open.
  if (!missing) await endLabelled(id, termMs);
  signal?.throwIfAborted();
  return { status, missing, timedOut: state.timedOut };
}

async function waitForEnd(
  signal: AbortSignal | undefined,
  limitMs: number,
  ended: AbortSignal,
): Promise<'late' | 'aborted'> {
  const stop = AbortSignal.any(signal === undefined ? [ended] : [ended, signal]);
  return delay(limitMs, 'late' as const, { signal: stop }).catch(() => 'aborted' as const);
}

/** How long a tree may take to end by SIGTERM, and then by SIGKILL, ms. */
const defaultTermMs = 3_000;
const killMs = 10_000;
const lookEveryMs = 25;

/**
 * Ends whatever carries the conversion's label, by SIGTERM, then SIGKILL. Safe where there is nothing.
 * Throws `conversion-does-not-end`.
 */
export async function endLabelled(id: string, termMs = defaultTermMs): Promise<void> {
  checkConversionId(id);
  if (await endBy(id, 'SIGTERM', termMs)) return;
  if (await endBy(id, 'SIGKILL', killMs)) return;
  const left = await labelledProcesses(id);
  throw transient({
    code: 'conversion-does-not-end',
    message: `processes ${left.join(', ')} of the conversion ${id} did not end even after SIGKILL`,
    remedy: 'They wait for storage, most likely: look at the disks below them. It is tried again.',
  });
}

async function endBy(id: string, signal: NodeJS.Signals, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  const told = new Set<number>();
  for (;;) {
    const { labelled, unsettled } = await look(id);
    if (labelled.length === 0 && unsettled.length === 0) return true;
    for (const pid of labelled) {
      // SIGTERM once each: a second one would cut short what the first one began to tidy.
      if (signal === 'SIGTERM' && told.has(pid)) continue;
      told.add(pid);
      send(pid, signal);
    }
    if (performance.now() >= deadline) {
      // Whoever stays without an environment for so long was started without one: it is none of ours.
      for (const one of unsettled) strangers.add(one);
      return labelled.length === 0;
    }
    await delay(lookEveryMs);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Processes known to run without an environment, by PID and start time. They are few, and of the machine. */
const strangers = new Set<string>();

/** Live processes with the label; one that has ended and is not yet collected has no environment any more. */
export const labelledProcesses = async (id: string): Promise<number[]> => (await look(id)).labelled;

interface Seen {
  labelled: number[];
  /**
   * In the middle of exec(2) a process has no environment to be read: it may be ours a moment later. On a busy
   * machine that moment is long enough for a helper to be missed.
   */
  unsettled: string[];
}

async function look(id: string): Promise<Seen> {
  const label = `${variable}=${id}`;
  const seen: Seen = { labelled: [], unsettled: [] };
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  await Promise.all(
    pids.map(async (pid) => {
      if (Number(pid) === process.pid) return;
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => undefined);
      if (environment === '') {
        const identity = await unsettledIdentity(pid);
        if (identity !== undefined && !strangers.has(identity)) seen.unsettled.push(identity);
      } else if (environment?.split('\0').includes(label) === true) {
        seen.labelled.push(Number(pid));
      }
    }),
  );
  return seen;
}

/** Undefined for threads of the kernel, which have no program, and for what has ended. */
async function unsettledIdentity(pid: string): Promise<string | undefined> {
  const program = await readlink(`/proc/${pid}/exe`).catch(() => '');
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ended = state === 'Z' || state === 'X' || state === '';
  return program === '' || ended ? undefined : `${pid} ${fields[18] ?? ''}`;
}
