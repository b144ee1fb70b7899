/** What a live move is asked for, shows while it runs, and reports at its end. */
import type { ConvergenceAct } from './convergence.ts';

/** How far a live move may go with the guest, as a person asked for it. */
export interface LiveWishes {
  /** The longest pause of the guest that ends the run, ms. */
  maxDowntimeMs: number;
  /** Rather a longer pause than a long run: the pause is raised step by step, up to `highestDowntimeMs`. */
  quicklyFinish: boolean;
  highestDowntimeMs: number;
  /** QEMU may slow the guest down, step by step. */
  autoConverge: boolean;
  /** The guest may go on at the target before its memory is there: there is no way back from that. */
  postCopy: boolean;
  /** The guest may be paused until the end of the run. */
  pause: boolean;
  /** How long a run may look endless before each step of that ladder, ms. */
  patienceMs: number;
  /** Connections that the memory crosses on; absent: one. Not together with `postCopy`. */
  parallelConnections?: number;
  compression?: 'xbzrle' | 'mt';
  /** What becomes of a VM that cannot move live: the move fails and it stays (`none`), or it is shut down and moved cold. */
  fallback: 'none' | 'cold';
  /** After a failure or a cancel the volumes that were made at the target stay for a person to look at. */
  keepTargetOnFailure: boolean;
}

export const defaultLiveWishes: LiveWishes = {
  maxDowntimeMs: 300,
  quicklyFinish: false,
  highestDowntimeMs: 10_000,
  autoConverge: false,
  postCopy: false,
  pause: false,
  patienceMs: 30_000,
  fallback: 'none',
  keepTargetOnFailure: false,
};

/** Whether the move may come to copy the VM itself, by the data plane: a live one that must not go cold never does. */
export const mayGoCold = ({ live }: { live?: Pick<LiveWishes, 'fallback'> }): boolean =>
  live === undefined || live.fallback === 'cold';

/** More than libvirt takes. */
const mostDowntimeMs = 2_000_000;
const mostConnections = 255;

const isWhole = (value: number, most: number): boolean =>
  Number.isInteger(value) && value >= 1 && value <= most;

/** Why these wishes can never be fulfilled, in words; said before a guest is touched. */
export function problemOf(wishes: LiveWishes): string | undefined {
  const { maxDowntimeMs, highestDowntimeMs, quicklyFinish, patienceMs } = wishes;
  const { parallelConnections, compression, postCopy } = wishes;
  if (!isWhole(maxDowntimeMs, mostDowntimeMs))
    return `the longest pause has to be 1 to ${mostDowntimeMs} ms`;
  if (quicklyFinish && !isWhole(highestDowntimeMs, mostDowntimeMs))
    return `the highest pause has to be 1 to ${mostDowntimeMs} ms`;
  if (quicklyFinish && highestDowntimeMs < maxDowntimeMs)
    return 'the highest pause is shorter than the pause that the run begins with';
  if (!(Number.isFinite(patienceMs) && patienceMs >= 0)) return 'the patience has to be a time';
  if (parallelConnections !== undefined && !isWhole(parallelConnections, mostConnections))
    return `parallel connections have to be 1 to ${mostConnections}`;
  // QEMU up to 9 has no post-copy over several connections, and those take compression of their own kinds only.
  if (postCopy && parallelConnections !== undefined)
    return 'post-copy and parallel connections exclude one another';
  if (postCopy && compression === 'mt')
    return 'post-copy and compression by threads (mt) exclude one another';
  if (parallelConnections !== undefined && compression !== undefined)
    return 'parallel connections and compression exclude one another';
  return undefined;
}

/** One look at a run. Bytes, and bytes a second; from libvirt's statistics of the job. */
export interface LiveProgress {
  elapsedMs: number;
  /** The pass over memory that runs; 0 before the first. */
  iteration: number;
  memoryTotalBytes: number;
  memoryProcessedBytes: number;
  memoryRemainingBytes: number;
  bytesPerSecond: number;
  dirtyBytesPerSecond: number;
  diskTotalBytes: number;
  diskProcessedBytes: number;
  diskRemainingBytes: number;
  throttlePercent: number;
  inPostCopy: boolean;
  /** Until the end, if all stays as it is; absent where it would never come. */
  etaMs?: number;
  /** What the convergence policy thinks of it, in a sentence. */
  outlook: string;
}

/** What was done so that a run ends, and why. */
export interface LiveStep {
  act: ConvergenceAct;
  why: string;
  /** Of the run, ms. */
  atMs: number;
}

/** How a live move went, for the report. */
export interface LiveReport {
  /** How often libvirt was asked to migrate; more than one after an interruption. */
  runs: number;
  steps: LiveStep[];
  /** From the begin of the last run to its end, ms. */
  totalMs?: number;
  /** The guest's pause, by one clock where both its ends were seen, else by libvirt's figure; post-copy has none. */
  downtimeMs?: number;
  iterations?: number;
  memoryBytes?: number;
  diskBytes?: number;
  postCopy: boolean;
  /** Why it was not moved live after all; then the mode of the report is what was done instead. */
  gaveUp?: string;
}
