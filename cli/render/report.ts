import { isEnd } from '../../domain/move.ts';
import type { DiskResult, MoveReport } from '../../domain/move.ts';
import { exitCodeOf, ExitCode } from '../exit-code.ts';
import { bytes, duration, moment, wholeSeconds } from './quantity.ts';
import { liveFields, liveNotes } from './live-report.ts';
import { nextSteps, standingOf } from './next-steps.ts';
import { bulletLines, endLines, fieldLines, indent, section, stepLines } from './report-parts.ts';
import { phaseWords, stepTitles } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { harmless } from './text.ts';
import type { View } from './theme.ts';

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

/** What a person wants to know once a move rests or has ended, and what to do next. `now` in ms since the epoch. */
export function reportLines(report: MoveReport, view: View, now: number): string[] {
  return [
    headline(report, view),
    '',
    ...fieldLines(fields(report, view, now), view),
    ...diskLines(report, view),
    ...section(
      'Steps',
      stepLines(report.steps, (name) => stepTitles[name], view),
      view,
    ),
    ...section('On the way', bulletLines(liveNotes(report), view), view),
    ...endLines(report, nextSteps(standingOf(report), view), { view, isOver: isEnd(report.phase) }),
  ];
}
