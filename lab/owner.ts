/**
 * A lab ends with the process that made it, however that ended: kill -9 leaves no time for `down`. A shell in a session
 * of its own waits at a pipe that only the owner holds open; when the kernel closes it, the shell becomes
 * end-orphan-process.ts. It needs a megabyte, and neither a signal to the owner's group nor one to its terminal reaches it.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { isAbsolute, join, relative } from 'node:path';
import { permanent } from '../domain/errors.ts';
import { identify, isAlive, signalProcess } from './processes.ts';
import type { ProcessId } from './processes.ts';
import type { OwnerState } from './state.ts';
import { waitUntil } from './wait.ts';

/** How long a lab without an owner may take to end, ms. */
const endMs = 60_000;

/** Marks processes of a lab that live outside its namespaces: their children inherit it. */
export const labelOf = (dir: string): { VMFERRY_LAB: string } => ({ VMFERRY_LAB: dir });

export interface OwnerOptions {
  /** The lab's folder; it exists. */
  dir: string;
  /** A folder around the lab's, removed with all it holds once the owner has ended, if it still is there. */
  discard?: string;
}

/** Has the lab end with this process. Throws `lab-invalid-options` if `discard` does not hold the lab's folder. */
export function endWithThisProcess({ dir, discard }: OwnerOptions): OwnerState {
  if (discard !== undefined && !holds(discard, dir)) {
    throw permanent({
      code: 'lab-invalid-options',
      message: `${discard} does not hold the lab's folder ${dir}`,
      remedy: 'Discard the folder of the lab, or one around it.',
    });
  }
  const owner = identify(process.pid);
  const log = openSync(join(dir, 'end.log'), 'a');
  const ending = [process.execPath, join(import.meta.dirname, 'end-orphan-process.ts')];
  const told = [dir, String(owner?.pid), owner?.startTime ?? '', discard ?? ''];
  // The lab's folder and `discard` may be gone by then, so the shell asks for neither before it becomes the program.
  const child = spawn('/bin/sh', ['-c', 'read -r _; exec "$@"', 'lab-owner', ...ending, ...told], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', log, log],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  });
  closeSync(log);
  child.unref();
  // Neither may keep the owner from ending.
  if (child.stdin instanceof Socket) child.stdin.unref();
  const watcher = identify(child.pid ?? 0);
  if (owner !== undefined && watcher !== undefined) return { owner, watcher };
  throw permanent({
    code: 'lab-without-end',
    message: `nothing watches over the lab in ${dir}: /bin/sh did not start`,
    remedy: 'See `vmferry lab check`.',
  });
}

function holds(folder: string, inner: string): boolean {
  const way = relative(folder, inner);
  return isAbsolute(folder) && !way.startsWith('..') && !isAbsolute(way);
}

/** Resolves once nobody is at work to end the lab because its owner died; throws `lab-timeout`. */
export async function endedWithOwner(state: OwnerState | undefined): Promise<void> {
  if (state === undefined || isAlive(state.owner) || state.watcher.pid === process.pid) return;
  await waitUntil(() => !isAlive(state.watcher), {
    what: `the lab of process ${state.owner.pid}, which is no more, to end`,
    timeoutMs: endMs,
  });
}

/** Ends all processes that carry the lab's label, this one never; resolves when none is left. */
export async function endLabelled(dir: string): Promise<void> {
  await waitUntil(
    () => {
      const left = labelled(dir);
      for (const found of left) signalProcess(found, 'SIGKILL');
      return left.length === 0;
    },
    { what: `the processes of the lab in ${dir} to end`, timeoutMs: 10_000 },
  );
}

/** What lives with the lab's label. */
function labelled(dir: string): ProcessId[] {
  const label = `VMFERRY_LAB=${dir}`;
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid))
    .filter((pid) => environmentOf(pid).includes(label))
    .flatMap((pid) => identify(Number(pid)) ?? []);
}

function environmentOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    // It has ended meanwhile.
    return [];
  }
}
