import { readFile } from 'node:fs/promises';
import type { Supervised } from './supervised.ts';
import { timedOut, waitUntil } from './wait.ts';

/** Of each log, in an error. */
const shownLines = 15;
const shownBytes = 4_000;

export interface ProcessWait {
  /** What is awaited, as the end of "waited N s for ...". */
  what: string;
  timeoutMs: number;
  /** Others whose logs may tell why. */
  beside?: readonly Supervised[];
}

/**
 * Looks until `look` is true. Throws `lab-timeout` with the last lines of the process's log when the time is up, and at
 * once if the process has ended and nobody starts it again.
 */
export async function waitFor(
  process: Supervised,
  look: () => Promise<boolean>,
  { what, timeoutMs, beside = [] }: ProcessWait,
): Promise<void> {
  const begunMs = performance.now();
  const wait = { what, timeoutMs, everyMs: 50 };
  const isLost = (): boolean => !process.isRunning && !process.comesBack;
  try {
    const seen = await waitUntil(async () => (await look()) || (isLost() && 'lost'), wait);
    if (seen === true) return;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'lab-timeout')) throw error;
  }
  const logs = await Promise.all([process, ...beside].map(lastWords));
  const waitedMs = Math.round((performance.now() - begunMs) / 100) * 100;
  throw timedOut({ what, timeoutMs: waitedMs }, logs.join('\n'));
}

async function lastWords({ name, starts, isRunning, logPath }: Supervised): Promise<string> {
  const text = await readFile(logPath, 'utf8').catch(String);
  const lines = text.trimEnd().slice(-shownBytes).split('\n').slice(-shownLines);
  const state = `${isRunning ? 'runs' : 'does not run'}, started ${starts} times`;
  return `${name} ${state}; ${logPath} ends with\n${lines.join('\n')}`;
}
