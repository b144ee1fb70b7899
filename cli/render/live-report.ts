/** How a live move went, for its report. */
import type { ConvergenceAct } from '../../domain/convergence.ts';
import type { LiveReport, LiveStep } from '../../domain/live.ts';
import type { MoveReport } from '../../domain/move.ts';
import { bytes, duration } from './quantity.ts';

/** What was done, in words. */
const actWords: Record<ConvergenceAct, string> = {
  wait: 'it was left alone',
  'raise-downtime': 'a longer pause was allowed',
  throttle: 'the guest was slowed down',
  'post-copy': 'post-copy began',
  pause: 'the guest was paused',
  'give-up': 'it was given up',
};

/** `at 12.4 s the guest was slowed down: WHY` */
export const liveStepWords = ({ act, why, atMs }: LiveStep): string =>
  `at ${duration(atMs)} ${actWords[act]}: ${why}`;

/** What crossed, and in how many passes: `138 MiB of memory in 3 passes, 1.00 GiB of disks, in 12.4 s`. */
export function crossedWords({
  memoryBytes,
  diskBytes,
  iterations,
  totalMs,
}: Pick<LiveReport, 'memoryBytes' | 'diskBytes' | 'iterations' | 'totalMs'>): string {
  const passes = iterations === 1 ? '1 pass' : `${iterations ?? 0} passes`;
  const memory =
    memoryBytes === undefined
      ? ''
      : `${bytes(memoryBytes)} of memory${iterations === undefined ? '' : ` in ${passes}`}`;
  const disks = diskBytes === undefined || diskBytes === 0 ? '' : `${bytes(diskBytes)} of disks`;
  const took = totalMs === undefined ? '' : `in ${duration(totalMs)}`;
  return [memory, disks, took].filter((text) => text !== '').join(', ');
}

/** A pause is spoken of in ms, as it is asked for, unless it is no pause any more. */
export const pause = (ms: number): string => (ms < 10_000 ? `${Math.round(ms)} ms` : duration(ms));

const pauseWords = ({ downtimeMs, postCopy }: LiveReport): string => {
  if (downtimeMs !== undefined) return `${pause(downtimeMs)}, as the hosts measured it`;
  return postCopy ? 'not measured: libvirt has no figure of post-copy' : '';
};

/** Labels and texts for the head of the report; none where the move was not to be live. */
export function liveFields({ live }: MoveReport): [string, string][] {
  if (live === undefined) return [];
  const again = live.runs > 1 ? `, the last of ${live.runs} runs` : '';
  const crossed = crossedWords(live);
  return [
    ['Pause', live.gaveUp === undefined ? pauseWords(live) : ''],
    ['Live', crossed === '' ? '' : `${crossed}${again}`],
    ['Not live', live.gaveUp ?? ''],
  ];
}

/** What was done so that it ends, oldest first. */
export const liveNotes = ({ live }: MoveReport): string[] => (live?.steps ?? []).map(liveStepWords);
