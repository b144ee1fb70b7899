/*
 * web-1  alpha → beta  cold                                      copying  1m 32s
 *
 *   ✓ Check            the VM, alpha and beta                              0.8 s
 *   ⠹ Copy             the data of each disk, to beta                       12 s
 *     vda  ━━━━━━━━━━━━━───────  62 %  6.2 of 10.0 GiB   412 MiB/s     9 s left
 *   · Verify           hashes of both sides
 */
import type { DiskProgress, MoveReport, Step } from '../../domain/move.ts';
import type { MoveStatus } from '../ferry.ts';
import { diskBars } from './disk-bars.ts';
import { liveLines } from './live-run.ts';
import { bytes, duration, wholeSeconds } from './quantity.ts';
import { phaseWords, stepPurpose, stepTitles } from './step-names.ts';
import { cells, cut, harmless, padEnd } from './text.ts';
import type { View } from './theme.ts';

const widest = 100;
const titleCells = Math.max(...Object.values(stepTitles).map(cells)) + 2;
const mostConcerns = 3;
const shortestName = 8;

export interface FrameMoment {
  /** ms since the epoch. */
  now: number;
  /** Counts drawings; turns the spinner. A frame that stands still passes none. */
  tick?: number;
  /** Lines that the screen has; none: as many as it takes. */
  rows?: number;
}

/** `text` on the left and `right` at the end of the line, with at least two cells between. */
export function spread(left: string, right: string, width: number): string {
  if (right === '') return left;
  return left + ' '.repeat(Math.max(2, width - cells(left) - cells(right))) + right;
}

/** Colour of a phase: what calls for a person is yellow, what went wrong red. */
export function phaseStyle(phase: string): 'green' | 'yellow' | 'red' | 'cyan' {
  if (['committed', 'rehearsed', 'awaiting-commit'].includes(phase)) return 'green';
  if (phase === 'failed') return 'red';
  if (['parked', 'rolling-back', 'rolled-back', 'cancelled'].includes(phase)) return 'yellow';
  return 'cyan';
}

function headLine(report: MoveReport, view: View, width: number, now: number): string {
  const { paint, glyphs } = view.theme;
  const elapsed =
    (report.endedAt === undefined ? now : Date.parse(report.endedAt)) -
    Date.parse(report.startedAt);
  const right = `${paint(phaseStyle(report.phase), phaseWords(report.phase))}  ${wholeSeconds(elapsed)}`;
  const way = harmless(`${report.source} ${glyphs.arrow} ${report.target}`);
  const roomForName = width - cells(right) - cells(way) - report.mode.length - 6;
  const narrow = roomForName < shortestName;
  const name = harmless(report.vm.name);
  const left = narrow
    ? paint('bold', cut(name, width - cells(right) - 2))
    : `${paint('bold', cut(name, roomForName))}  ${way}  ${paint('dim', report.mode)}`;
  return spread(left, right, width);
}

/** The sign of a step's state; a spinner at drawing `tick`. */
export function stepGlyph(
  { state }: Pick<Step, 'state'>,
  view: View,
  tick: number | undefined,
): string {
  const { paint, glyphs } = view.theme;
  const spinner = glyphs.spinner;
  switch (state) {
    case 'done':
      return paint('green', glyphs.done);
    case 'failed':
      return paint('red', glyphs.failed);
    case 'skipped':
      return paint('dim', glyphs.skipped);
    case 'waiting':
      return paint('dim', glyphs.waiting);
    case 'running':
      return paint('cyan', tick === undefined ? '>' : (spinner[tick % spinner.length] ?? '>'));
  }
}

/** Time a step took or takes: whole seconds while it runs, so that only one figure moves. */
export function stepTime(step: Pick<Step, 'state' | 'startedAt' | 'endedAt'>, now: number): string {
  if (step.startedAt === undefined || step.state === 'waiting' || step.state === 'skipped')
    return '';
  const from = Date.parse(step.startedAt);
  if (step.state === 'running') return wholeSeconds(now - from);
  return step.endedAt === undefined ? '' : duration(Date.parse(step.endedAt) - from);
}

function stepDetail(step: Step, report: MoveReport): string {
  const retries = step.attempts === 1 ? '1 retry' : `${step.attempts} retries`;
  const copied = report.disks.reduce((sum, disk) => sum + disk.bytesCopied, 0);
  const moved = step.bytes ?? (step.name === 'copy' ? copied : 0);
  const detail =
    step.state === 'done' && moved > 0
      ? `${bytes(moved)} of data`
      : step.state === 'skipped'
        ? 'not needed'
        : stepPurpose(step.name, report);
  return step.attempts > 0 && step.state === 'done' ? `${detail}, after ${retries}` : detail;
}

function stepLines(
  step: Step,
  report: MoveReport,
  view: View,
  place: { width: number } & FrameMoment,
): string[] {
  const { paint } = view.theme;
  const idle = step.state === 'waiting' || step.state === 'skipped';
  const title = padEnd(stepTitles[step.name], titleCells);
  const time = stepTime(step, place.now);
  const room = place.width - 4 - titleCells - cells(time) - (time === '' ? 0 : 2);
  const detail = cut(harmless(stepDetail(step, report)), room);
  const shownTitle =
    step.state === 'running' ? paint('bold', title) : idle ? paint('dim', title) : title;
  const head = `  ${stepGlyph(step, view, place.tick)} ${shownTitle}${paint('dim', detail)}`;
  const lines = [spread(head, paint('dim', time), place.width)];
  const trouble = step.state === 'running' || step.state === 'failed' ? step.firstError : undefined;
  if (trouble !== undefined) {
    const tries = step.attempts > 0 ? `try ${step.attempts + 1}; first: ` : '';
    lines.push(paint('yellow', cut(`    ${tries}${harmless(trouble.message)}`, place.width)));
  }
  return lines;
}

/** What the checks found, but for what only informs; the first few. */
export function frameConcerns(
  { concerns }: Pick<MoveReport, 'concerns'>,
  view: View,
  width: number,
): string[] {
  const serious = concerns.filter((concern) => concern.level !== 'information');
  return serious.slice(0, mostConcerns).map((concern) => {
    const critical = concern.level === 'critical';
    const glyph = critical ? view.theme.glyphs.failed : view.theme.glyphs.parked;
    const text = cut(`    ${glyph} ${harmless(concern.message)}`, width);
    return view.theme.paint(critical ? 'red' : 'yellow', text);
  });
}

const showsBars = (step: Step, disks: readonly DiskProgress[]): boolean =>
  step.state === 'running' && (step.name === 'copy' || step.name === 'verify') && disks.length > 0;

/** A move as it stands: head, every step, a bar for each disk. Lines carry colours if the theme does. */
export function frameLines(status: MoveStatus, view: View, moment: FrameMoment): string[] {
  const { report, progress, live } = status;
  const width = Math.min(view.width, widest);
  const rows = moment.rows ?? Infinity;
  const draw = (steps: readonly Step[], most: number): string[] =>
    steps.flatMap((step) => [
      ...stepLines(step, report, view, { ...moment, width }),
      ...(step.name === 'check' ? frameConcerns(report, view, width) : []),
      ...(showsBars(step, progress) ? diskBars(progress, view, { width, indent: 4, most }) : []),
      ...(step.name === 'live' && step.state === 'running' && live !== undefined
        ? liveLines(live, view, { width, indent: 4 })
        : []),
    ]);
  const head = [headLine(report, view, width, moment.now), ''];
  // The report lists the whole pipeline from the start.
  const { steps } = report;
  const fixed = head.length + draw(steps, 1).length;
  const lines = [...head, ...draw(steps, rows - fixed + 1)];
  if (lines.length <= rows) return lines;
  // A very low window: what runs now matters most.
  const running = steps.filter((step) => step.state === 'running' || step.state === 'failed');
  return [...head, ...draw(running, rows - head.length - running.length)].slice(
    0,
    Math.max(1, rows),
  );
}
