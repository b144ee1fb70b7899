import type { Concern } from '../../domain/concerns.ts';
import { isEnd } from '../../domain/move.ts';
import type { DiskResult, GivenOrder, MoveReport } from '../../domain/move.ts';
import { exitCodeOf, ExitCode } from '../exit-code.ts';
import { faultLines } from '../fault.ts';
import { bytes, duration, moment, wholeSeconds } from './quantity.ts';
import { liveFields, liveNotes } from './live-report.ts';
import { nextSteps, standingOf } from './next-steps.ts';
import { phaseWords, stepTitles } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { cells, harmless, padEnd, wrap } from './text.ts';
import type { View } from './theme.ts';

const labelCells = 13;
const indent = 2;
const hashCells = 16;

/** How the move stands, in one sentence. */
function headline(report: MoveReport, view: View): string {
  const { paint, glyphs } = view.theme;
  const { source, target } = report;
  const vm = report.vm.name;
  const home = report.vmOn === '' ? 'its place is not settled' : `it lives on ${report.vmOn}`;
  const say = (style: 'green' | 'yellow' | 'red' | 'cyan', glyph: string, text: string): string =>
    paint(['bold', style], `${glyph} ${harmless(text)}`);
  switch (report.phase) {
    case 'awaiting-commit':
      return say(
        'green',
        glyphs.done,
        `${vm} lives on ${target}; ${source} keeps its copy until you commit`,
      );
    case 'committed':
      return say('green', glyphs.done, `${vm} lives on ${target}; the move is committed`);
    case 'parked':
      return say('yellow', glyphs.parked, `The move of ${vm} is parked: a person must act`);
    case 'cancelled':
      return say('yellow', glyphs.skipped, `The move of ${vm} was cancelled; ${home}`);
    case 'rolled-back':
      return exitCodeOf(report) === ExitCode.failed
        ? say('red', glyphs.failed, `The move of ${vm} failed and was rolled back; ${home}`)
        : say('yellow', glyphs.skipped, `The move of ${vm} was rolled back; ${home}`);
    case 'failed':
      return exitCodeOf(report) === ExitCode.refused
        ? say('red', glyphs.failed, `The move of ${vm} was refused; nothing was touched`)
        : say('red', glyphs.failed, `The move of ${vm} failed; ${home}`);
    case 'planned':
    case 'checking':
    case 'preparing':
    case 'stopping':
    case 'moving':
    case 'copying':
    case 'verifying':
    case 'cutting-over':
    case 'starting':
    case 'committing':
    case 'rolling-back':
      return say(
        'cyan',
        glyphs.arrow,
        `${vm} is on its way to ${target}: ${phaseWords(report.phase)}`,
      );
  }
}

/** How firmly one running copy was held, in words. */
export const oneRunningWords: Record<MoveReport['oneRunning'], string> = {
  enforced: 'enforced: a live guard on both hosts',
  observed: 'observed: read back, no guard on one side',
  none: 'not held',
};

/** How the target was chosen, where nobody named it. */
function placementWords({ placement }: MoveReport): string {
  const [first] = placement?.reasons ?? [];
  return first === undefined ? '' : `chosen by ${placement?.policy ?? ''}: ${first}`;
}

function fields(report: MoveReport, view: View, now: number): [string, string][] {
  const copied = report.disks.reduce((sum, disk) => sum + disk.bytesCopied, 0);
  const twice = report.disks.reduce((sum, disk) => sum + disk.bytesRecopied, 0);
  const started = Date.parse(report.startedAt);
  const took =
    report.endedAt === undefined
      ? `${wholeSeconds(now - started)} ago`
      : `took ${duration(Date.parse(report.endedAt) - started)}`;
  const power = report.vmRunning ? 'running' : 'off';
  const entries: [string, string][] = [
    ['VM', `${report.vm.name}  ${report.vm.uuid}`],
    ['Way', `${report.source} ${view.theme.glyphs.arrow} ${report.target}, ${report.mode}`],
    ['Host', placementWords(report)],
    ['Asked by', report.operator],
    ['Started', `${moment(report.startedAt)}, ${took}`],
    ['Lives on', report.vmOn === '' ? 'not settled' : `${report.vmOn}, ${power}`],
  ];
  if (report.parkedIn !== undefined) entries.push(['Parked in', phaseWords(report.parkedIn)]);
  if (report.downtimeMs !== undefined && report.mode !== 'live')
    entries.push(['Downtime', duration(report.downtimeMs)]);
  entries.push(...liveFields(report));
  if (report.disks.length > 0 && report.mode !== 'live') {
    entries.push(['Copied', `${bytes(copied)}, of it twice ${bytes(twice)}`]);
  }
  // Of a move that was refused there is nothing to hold.
  if (exitCodeOf(report) !== ExitCode.refused) {
    entries.push(['One running', oneRunningWords[report.oneRunning]]);
  }
  return entries.filter(([, text]) => text !== '');
}

function fieldLines(entries: readonly [string, string][], view: View): string[] {
  return entries.flatMap(([label, text]) =>
    wrap(harmless(text), view.width - indent - labelCells).map((line, row) => {
      const shown =
        row === 0 ? view.theme.paint('dim', padEnd(label, labelCells)) : ' '.repeat(labelCells);
      return ' '.repeat(indent) + shown + line;
    }),
  );
}

const sharedWords = {
  nonce: 'shared, seen by both hosts',
  content: 'shared, same content',
} as const;

function verdict(disk: DiskResult, mode: MoveReport['mode'], view: View): Cell {
  const { glyphs } = view.theme;
  if (disk.shared !== undefined)
    return { text: `${glyphs.done} ${sharedWords[disk.shared]}`, paint: 'green' };
  if (disk.verified) {
    return {
      text: `${glyphs.done} ${(disk.targetHash ?? '').slice(0, hashCells)}`,
      paint: 'green',
    };
  }
  if (disk.sourceHash !== undefined && disk.targetHash !== undefined) {
    return { text: `${glyphs.failed} the sides differ`, paint: 'red' };
  }
  if (mode === 'live') return { text: 'copied by libvirt while it ran, not hashed', paint: 'dim' };
  return { text: `${glyphs.skipped} not verified`, paint: 'yellow' };
}

function diskLines(report: MoveReport, view: View): string[] {
  if (report.disks.length === 0) return [];
  const columns = [
    { title: 'Disk' },
    { title: 'Size', align: 'right' },
    { title: 'Copied', align: 'right' },
    { title: 'Twice', align: 'right' },
    { title: 'Verified, hash', elastic: true },
  ] as const;
  // libvirt counts the bytes of several disks together.
  const isCounted = ({ bytesCopied }: DiskResult): boolean =>
    report.mode !== 'live' || bytesCopied > 0;
  const rows = report.disks.map((disk): Cell[] => [
    { text: disk.name },
    { text: bytes(disk.capacityBytes) },
    { text: isCounted(disk) ? bytes(disk.bytesCopied) : '' },
    { text: isCounted(disk) ? bytes(disk.bytesRecopied) : '' },
    verdict(disk, report.mode, view),
  ]);
  const lines = table(columns, rows, { ...view, width: view.width - indent });
  const restarts = report.disks.flatMap((disk) =>
    disk.restarted === undefined ? [] : [`${disk.name} was copied anew: ${disk.restarted}`],
  );
  return ['', ...lines.map((line) => ' '.repeat(indent) + line), ...bulletLines(restarts, view)];
}

function bulletLines(
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

const section = (title: string, lines: readonly string[], view: View): string[] =>
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

function troubleLines(report: MoveReport, view: View): string[] {
  const inner = { ...view, width: view.width - indent };
  const shifted = (lines: readonly string[]): string[] =>
    lines.map((line) => ' '.repeat(indent) + line);
  const { fault, firstError } = report;
  const now = fault === undefined ? [] : shifted(faultLines(fault, inner));
  const sameError =
    fault !== undefined && fault.code === firstError?.code && fault.message === firstError.message;
  const first = firstError === undefined || sameError ? [] : shifted(faultLines(firstError, inner));
  const undo = report.failedCompensations.flatMap((failed) => shifted(faultLines(failed, inner)));
  const title = isEnd(report.phase) ? 'What went wrong' : 'What stands in the way';
  return [
    ...section(title, now, view),
    ...section('First error on the way', first, view),
    ...section('Could not be undone', undo, view),
  ];
}

/** Each step that began: when, how long, how much, and how often it was tried again. */
function stepLines(report: MoveReport, view: View): string[] {
  const begun = report.steps.filter(({ startedAt }) => startedAt !== undefined);
  const rows = begun.map((step): Cell[] => {
    const { startedAt = '', endedAt, attempts } = step;
    const took = endedAt === undefined ? '' : duration(Date.parse(endedAt) - Date.parse(startedAt));
    return [
      {
        text: stepTitles[step.name],
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

const orderWords = ({ order, operator, at }: GivenOrder): string =>
  `${order} by ${operator === '' ? 'somebody unnamed' : operator}, ${moment(at)}`;

/** What a person wants to know once a move rests or has ended, and what to do next. `now` in ms since the epoch. */
export function reportLines(report: MoveReport, view: View, now: number): string[] {
  const next = nextSteps(standingOf(report), view);
  const widest = Math.max(0, ...next.map(({ command }) => cells(command)));
  const nextLines = next.flatMap(({ command, effect }) => {
    const head = ' '.repeat(indent) + padEnd(command, widest);
    const oneLine = `${head}  ${view.theme.paint('dim', effect)}`;
    return cells(oneLine) <= view.width
      ? [oneLine]
      : [
          head.trimEnd(),
          ...bulletLines([effect], view, ' ').map((line) => view.theme.paint('dim', `  ${line}`)),
        ];
  });
  return [
    headline(report, view),
    '',
    ...fieldLines(fields(report, view, now), view),
    ...diskLines(report, view),
    ...section('Steps', stepLines(report, view), view),
    ...section('On the way', bulletLines(liveNotes(report), view), view),
    ...section('Findings', concernLines(report.concerns, view), view),
    ...troubleLines(report, view),
    ...section('Notes', bulletLines(report.notes, view), view),
    ...section('Orders', bulletLines((report.orders ?? []).map(orderWords), view), view),
    ...section('Next', nextLines, view),
  ];
}
