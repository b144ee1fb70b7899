/** What reports of moves and of imports are made of. */
import type { Concern } from '../../domain/concerns.ts';
import type { MoveReport, Step } from '../../domain/move.ts';
import type { GivenOrder } from '../../domain/pipeline.ts';
import { faultLines } from '../fault.ts';
import type { NextStep } from './next-steps.ts';
import { bytes, duration, moment } from './quantity.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { cells, harmless, padEnd, wrap } from './text.ts';
import type { View } from './theme.ts';

const labelCells = 13;
export const indent = 2;

/** A label and what it says, a line or a few each. */
export function fieldLines(entries: readonly [string, string][], view: View): string[] {
  return entries.flatMap(([label, text]) =>
    wrap(harmless(text), view.width - indent - labelCells).map((line, row) => {
      const shown =
        row === 0 ? view.theme.paint('dim', padEnd(label, labelCells)) : ' '.repeat(labelCells);
      return ' '.repeat(indent) + shown + line;
    }),
  );
}

/** Sentences, wrapped, each behind a sign. */
export function bulletLines(
  texts: readonly string[],
  view: View,
  glyph = view.theme.glyphs.bullet,
): string[] {
  return texts.flatMap((text) =>
    wrap(harmless(text), view.width - indent - 2).map(
      (line, row) => ' '.repeat(indent) + (row === 0 ? `${glyph} ` : '  ') + line,
    ),
  );
}

/** A title and what stands below it; nothing where nothing does. */
export const section = (title: string, lines: readonly string[], view: View): string[] =>
  lines.length === 0 ? [] : ['', view.theme.paint('bold', title), ...lines];

/** What the checks have to say, a remedy below each. */
export function concernLines(concerns: readonly Concern[], view: View): string[] {
  const { paint, glyphs } = view.theme;
  const glyphOf = {
    critical: paint('red', glyphs.failed),
    warning: paint('yellow', glyphs.parked),
    information: paint('dim', glyphs.bullet),
  };
  return concerns.flatMap((concern) => {
    const where = concern.host === undefined ? '' : ` (${concern.host})`;
    const remedy = bulletLines(concern.remedy === '' ? [] : [concern.remedy], view, ' ');
    return [
      ...bulletLines([concern.message + where], view, glyphOf[concern.level]),
      ...remedy.map((line) => paint('dim', line)),
    ];
  });
}

/** What stands in the way or went wrong, the first error on the way, and what could not be undone. */
function troubleLines(
  report: Pick<MoveReport, 'fault' | 'firstError' | 'failedCompensations'>,
  { view, isOver }: { view: View; isOver: boolean },
): string[] {
  const inner = { ...view, width: view.width - indent };
  const shifted = (lines: readonly string[]): string[] =>
    lines.map((line) => ' '.repeat(indent) + line);
  const { fault, firstError } = report;
  const now = fault === undefined ? [] : shifted(faultLines(fault, inner));
  const sameError =
    fault !== undefined && fault.code === firstError?.code && fault.message === firstError.message;
  const first = firstError === undefined || sameError ? [] : shifted(faultLines(firstError, inner));
  const undo = report.failedCompensations.flatMap((failed) => shifted(faultLines(failed, inner)));
  const title = isOver ? 'What went wrong' : 'What stands in the way';
  return [
    ...section(title, now, view),
    ...section('First error on the way', first, view),
    ...section('Could not be undone', undo, view),
  ];
}

/** Each step that began: when, how long, how much, and how often it was tried again. */
export function stepLines<Name extends string>(
  steps: readonly (Omit<Step, 'name'> & { name: Name })[],
  titleOf: (name: Name) => string,
  view: View,
): string[] {
  const begun = steps.filter(({ startedAt }) => startedAt !== undefined);
  const rows = begun.map((step): Cell[] => {
    const { startedAt = '', endedAt, attempts } = step;
    const took = endedAt === undefined ? '' : duration(Date.parse(endedAt) - Date.parse(startedAt));
    return [
      {
        text: titleOf(step.name),
        ...(step.state === 'failed' ? { paint: 'red' as const } : {}),
      },
      { text: startedAt.slice(11, 19) },
      { text: step.state === 'running' ? 'running' : took },
      { text: step.bytes === undefined ? '' : bytes(step.bytes) },
      { text: attempts === 0 ? '' : String(attempts) },
      { text: step.firstError?.message ?? '', paint: 'yellow' },
    ];
  });
  if (rows.length === 0) return [];
  const columns = [
    { title: 'Step' },
    { title: 'At (UTC)' },
    { title: 'Took', align: 'right' },
    { title: 'Data', align: 'right' },
    { title: 'Retries', align: 'right' },
    { title: 'First error', elastic: true },
  ] as const;
  // A column in which nothing stands would only take room from the errors.
  const used = columns.map((_, index) => rows.some((row) => (row[index]?.text ?? '') !== ''));
  const kept = <T>(list: readonly T[]): T[] => list.filter((_, index) => used[index]);
  const lines = table(kept(columns), rows.map(kept), { ...view, width: view.width - indent });
  return lines.map((line) => ' '.repeat(indent) + line);
}

type Rested = Pick<
  MoveReport,
  'concerns' | 'fault' | 'firstError' | 'failedCompensations' | 'notes' | 'orders'
>;

/** What a report ends with: findings, troubles, notes, who ordered what, and what to do next. */
export const endLines = (
  report: Rested,
  next: readonly NextStep[],
  { view, isOver }: { view: View; isOver: boolean },
): string[] => [
  ...section('Findings', concernLines(report.concerns, view), view),
  ...troubleLines(report, { view, isOver }),
  ...section('Notes', bulletLines(report.notes, view), view),
  ...section('Orders', bulletLines((report.orders ?? []).map(orderWords), view), view),
  ...section('Next', nextLines(next, view), view),
];

/** `retry by ada@desk, 2026-11-21 14:40:03 UTC` */
const orderWords = ({ order, operator, at }: GivenOrder): string =>
  `${order} by ${operator === '' ? 'somebody unnamed' : operator}, ${moment(at)}`;

/** The orders that make sense now, each with what it brings about. */
function nextLines(next: readonly NextStep[], view: View): string[] {
  const widest = Math.max(0, ...next.map(({ command }) => cells(command)));
  return next.flatMap(({ command, effect }) => {
    const head = ' '.repeat(indent) + padEnd(command, widest);
    const oneLine = `${head}  ${view.theme.paint('dim', effect)}`;
    return cells(oneLine) <= view.width
      ? [oneLine]
      : [
          head.trimEnd(),
          ...bulletLines([effect], view, ' ').map((line) => view.theme.paint('dim', `  ${line}`)),
        ];
  });
}
