import type { Step } from '../../domain/move.ts';
import type { MoveStatus } from '../ferry.ts';
import { amount, millisecondsLeft } from './disk-bars.ts';
import { liveStepWords } from './live-report.ts';
import { liveLogLine } from './live-run.ts';
import { bytes, duration, percent, rate, wholeSeconds } from './quantity.ts';
import { harmless } from './text.ts';

const progressEveryMs = 5000;

/**
 * A move as lines for logs and pipes: `2026-11-21T14:40:03Z web-1 step copy done in 12.4 s`.
 * One for each change of phase, step and finding; progress at most every 5 s.
 */
export class PlainLog {
  #last: MoveStatus | undefined;
  #progressAt = -Infinity;

  /** The lines that `status` adds; `now` in ms since the epoch. */
  next(status: MoveStatus, now: number): string[] {
    const last = this.#last;
    this.#last = status;
    const changes = (steps: readonly Step[]): string[] =>
      steps.flatMap((step) =>
        stepChanges(
          last?.report.steps.find(({ name }) => name === step.name),
          step,
        ),
      );
    const running = status.report.steps.filter(({ state }) => state === 'running');
    const others = status.report.steps.filter(({ state }) => state !== 'running');
    // What ended comes before what it made way for.
    const lines = [
      // The whole pipeline before anything of it begins.
      ...(last === undefined
        ? [`pipeline ${status.report.steps.map(({ name }) => name).join(' ')}`]
        : []),
      ...changes(others),
      ...(last?.report.phase === status.report.phase ? [] : [`phase ${status.report.phase}`]),
      ...concernChanges(last, status),
      ...changes(running),
      ...this.#progress(status, now),
      ...liveStepChanges(last, status),
      ...status.report.notes.slice(last?.report.notes.length ?? 0).map((note) => `note ${note}`),
    ];
    const stamp = `${new Date(now).toISOString().slice(0, 19)}Z`;
    return lines.map((line) => harmless(`${stamp} ${status.report.vm.name} ${line}`));
  }

  #progress(status: MoveStatus, now: number): string[] {
    if (now - this.#progressAt < progressEveryMs) return [];
    const lines =
      status.live === undefined ? copyLines(status) : [`live ${liveLogLine(status.live)}`];
    if (lines.length > 0) this.#progressAt = now;
    return lines;
  }
}

function copyLines(status: MoveStatus): string[] {
  const active = status.report.steps.some(
    ({ name, state }) => state === 'running' && (name === 'copy' || name === 'verify'),
  );
  if (!active) return [];
  return status.progress.map((disk) => {
    const left = millisecondsLeft(disk);
    const parts = [
      `disk ${disk.name}`,
      `${percent(disk.doneBytes, disk.totalBytes)}%`,
      amount(disk.doneBytes, disk.totalBytes),
      ...(disk.bytesPerSecond > 0 ? [rate(disk.bytesPerSecond)] : []),
      ...(left === undefined ? [] : [`${wholeSeconds(left)} left`]),
    ];
    return parts.join(' ');
  });
}

/** What was done so that a live run ends. */
const liveStepChanges = (last: MoveStatus | undefined, { report }: MoveStatus): string[] =>
  (report.live?.steps ?? [])
    .slice(last?.report.live?.steps.length ?? 0)
    .map((step) => `live ${step.act} ${liveStepWords(step)}`);

function concernChanges(last: MoveStatus | undefined, status: MoveStatus): string[] {
  const known = new Set(last?.report.concerns.map(({ code, message }) => `${code} ${message}`));
  return status.report.concerns
    .filter(({ code, message }) => !known.has(`${code} ${message}`))
    .map(({ level, code, message }) => `concern ${level} ${code}: ${message}`);
}

function stepChanges(last: Step | undefined, step: Step): string[] {
  const lines: string[] = [];
  if (step.attempts > (last?.attempts ?? 0)) {
    const cause = step.firstError === undefined ? '' : `, first error: ${step.firstError.message}`;
    lines.push(`step ${step.name} try ${step.attempts + 1}${cause}`);
  }
  if (step.state !== (last?.state ?? 'waiting')) {
    const took =
      step.startedAt !== undefined && step.endedAt !== undefined
        ? ` in ${duration(Date.parse(step.endedAt) - Date.parse(step.startedAt))}`
        : '';
    const data = step.state === 'done' && step.bytes !== undefined ? `, ${bytes(step.bytes)}` : '';
    const cause =
      step.state === 'failed' && step.firstError !== undefined
        ? `: ${step.firstError.message}`
        : '';
    lines.push(`step ${step.name} ${step.state}${took}${data}${cause}`);
  }
  return lines;
}
