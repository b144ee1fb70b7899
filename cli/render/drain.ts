/** What `vmferry drain` shows: a table that follows, a line a change, a report, a plan. */
import { DrainState, drainCounts, isDrained } from '../../domain/drain/drain.ts';
import type { DrainLine, DrainReport } from '../../domain/drain/drain.ts';
import type { DrainPlan, DrainStatus, MoveStatus } from '../ferry.ts';
import { wholeSeconds } from './quantity.ts';
import { phaseWords } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { harmless, shellWord, wrap } from './text.ts';
import type { View } from './theme.ts';

const paints: Record<DrainState, NonNullable<Cell['paint']>> = {
  ...{ waiting: 'dim', next: 'cyan', moving: 'cyan', moved: 'green', parked: 'yellow' },
  ...{ left: 'yellow', failed: 'red', gone: 'dim' },
};

/** What is shown first when not all VMs fit: what happens now, then what went wrong. */
const order: readonly DrainState[] = [
  ...(['moving', 'failed', 'parked', 'left', 'next', 'waiting', 'moved', 'gone'] as const),
];

const stateWords = ({ state, awaitsCommit }: DrainLine, move?: MoveStatus): string => {
  if (state === DrainState.moving && move !== undefined)
    return `${phaseWords(move.report.phase)}${shareOf(move)}`;
  return awaitsCommit === true ? 'moved, awaits commit' : state;
};

/** How far the copy or the memory has come. */
function shareOf({ progress, live }: MoveStatus): string {
  const total = progress.reduce((sum, disk) => sum + disk.totalBytes, 0);
  const done = progress.reduce((sum, disk) => sum + disk.doneBytes, 0);
  if (live !== undefined && live.memoryTotalBytes > 0) {
    const crossed = live.memoryTotalBytes - live.memoryRemainingBytes;
    return ` ${Math.floor((crossed / live.memoryTotalBytes) * 100)} %`;
  }
  return total > 0 ? ` ${Math.floor((done / total) * 100)} %` : '';
}

function countWords(lines: readonly DrainLine[]): string {
  const { awaitsCommit: _, ...counts } = drainCounts(lines);
  const named = Object.entries(counts).filter(([, count]) => count > 0);
  return named.length === 0 ? 'no VMs' : named.map(([state, n]) => `${n} ${state}`).join(', ');
}

function tableOf(
  lines: readonly DrainLine[],
  view: View,
  moves: DrainStatus['moves'] = {},
): string[] {
  const rows = lines.map((line): Cell[] => [
    { text: line.name, paint: 'bold' },
    { text: stateWords(line, moves[line.moveId ?? '']), paint: paints[line.state] },
    { text: line.to ?? '' },
    { text: line.mode ?? '' },
    { text: line.why ?? '', paint: 'dim' },
  ]);
  return table(
    [
      { title: 'VM' },
      { title: 'State' },
      { title: 'To' },
      { title: 'How' },
      { title: 'Why', elastic: true },
    ],
    rows,
    view,
  );
}

/** The drain as it stands, on as many rows as the screen has. */
export function drainFrame(
  { report, moves }: DrainStatus,
  view: View,
  { now, rows }: { now: number; rows: number },
): string[] {
  const { paint } = view.theme;
  const { host, phase, vms, startedAt, trouble } = report;
  const elapsed = wholeSeconds(now - Date.parse(startedAt));
  const head = [
    `${paint('bold', harmless(host))}  ${phase}  ${countWords(vms)}  ${paint('dim', elapsed)}`,
    ...(trouble === undefined ? [] : [paint('yellow', harmless(trouble.message))]),
    '',
  ];
  const room = Math.max(1, rows - head.length - 2);
  const sorted = vms.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  const shown = sorted.slice(0, room);
  const more = sorted.length - shown.length;
  return [
    ...head,
    ...(vms.length === 0 ? [] : tableOf(shown, view, moves)),
    ...(more > 0 ? [paint('dim', `and ${more} more`)] : []),
  ];
}

/** One VM, for output without a screen. */
export const drainLine = (line: DrainLine): string => {
  const to = line.to === undefined ? '' : ` to ${line.to}`;
  const why = line.why === undefined ? '' : `: ${line.why}`;
  return harmless(`${line.name}: ${stateWords(line)}${to}${why}`);
};

/** The end of a drain. */
export function drainReportLines(report: DrainReport, view: View): string[] {
  const { paint, glyphs } = view.theme;
  const { host, vms, phase } = report;
  const word = shellWord(host);
  const { awaitsCommit, failed, left, parked } = drainCounts(vms);
  const head = isDrained(report)
    ? paint('green', `${glyphs.done} ${harmless(host)} is drained: ${countWords(vms)}`)
    : phase === 'cancelled'
      ? paint(
          'yellow',
          `${glyphs.skipped} The drain of ${harmless(host)} was cancelled: ${countWords(vms)}`,
        )
      : paint('red', `${glyphs.failed} ${harmless(host)} still has VMs: ${countWords(vms)}`);
  const whys = vms.filter(({ why }) => why !== undefined);
  const next = [
    ...(awaitsCommit > 0
      ? [
          `${awaitsCommit === 1 ? '1 move awaits' : `${awaitsCommit} moves await`} a commit: ${host} keeps its copy until \`${view.command} commit VM\`.`,
        ]
      : []),
    ...(parked > 0 ? [`See what a parked move waits for with \`${view.command} status VM\`.`] : []),
    ...(failed + left > 0 && phase === 'done'
      ? [`Try again with \`${view.command} drain ${word}\`.`]
      : []),
    `No VM comes to ${host} until \`${view.command} undrain ${word}\`.`,
  ];
  return [
    head,
    ...(vms.length === 0 ? [] : ['', ...tableOf(vms.map(withoutWhy), view)]),
    ...whys.flatMap(({ name, why = '' }) => ['', ...wrap(harmless(`${name}: ${why}`), view.width)]),
    '',
    ...next.flatMap((line) => wrap(harmless(line), view.width)),
  ];
}

/** The reasons stand below the table, whole. */
const withoutWhy = ({ why: _, ...line }: DrainLine): DrainLine => line;

/** What a drain would do. */
export function drainPlanLines({ host, vms }: DrainPlan, view: View): string[] {
  if (vms.length === 0) return [`${harmless(host)} has no VMs.`];
  const wayPaint = { live: 'green', cold: 'cyan', stays: 'yellow', fails: 'red' } as const;
  const rows = vms.map((vm): Cell[] => [
    { text: vm.name, paint: 'bold' },
    { text: phaseWords(vm.state) },
    { text: vm.way, paint: wayPaint[vm.way] },
    { text: vm.to ?? '' },
  ]);
  const columns = [
    { title: 'VM', elastic: true },
    { title: 'State' },
    { title: 'Way' },
    { title: 'To' },
  ];
  const whys = vms.filter(({ why }) => why !== undefined);
  return [
    ...table(columns, rows, view),
    ...whys.flatMap(({ name, why = '' }) => ['', ...wrap(harmless(`${name}: ${why}`), view.width)]),
    '',
    'They were placed one beside the other: what one takes of a target is missing to the next.',
    'This was a dry run: nothing was touched.',
  ];
}
