/** What imports show: a picture of one, a line a VM of several, a line a change, a report. */
import { isImportEnd } from '../../domain/import.ts';
import type { ImportedDisk, ImportReport, ImportStatus, ImportStep } from '../../domain/import.ts';
import { ExitCode } from '../exit-code.ts';
import { bars, diskBars } from './disk-bars.ts';
import { frameConcerns, phaseStyle, spread, stepGlyph, stepTime } from './frame.ts';
import type { FrameMoment } from './frame.ts';
import {
  exitCodeOfImport,
  importMsLeft,
  importNextSteps,
  importStepPurpose,
  importStepTitles,
  stageWords,
} from './import-words.ts';
import { bytes, duration, moment, rate, wholeSeconds } from './quantity.ts';
import { bulletLines, endLines, fieldLines, indent, section, stepLines } from './report-parts.ts';
import { phaseWords } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { cells, cut, harmless, padEnd } from './text.ts';
import type { View } from './theme.ts';

const widest = 100;
const titleCells = Math.max(...Object.values(importStepTitles).map(cells)) + 2;
const bulkSteps: readonly string[] = ['copy', 'transfer', 'verify'];
/** The copy where it begins with what the cache kept compressed. */
const stagedSteps: readonly string[] = ['copy', 'convert'];

const wayOf = ({ foreign, conversionHost, target }: ImportReport, arrow: string): string =>
  conversionHost === target
    ? `${foreign.provider} ${arrow} ${target}`
    : `${foreign.provider} ${arrow} ${conversionHost} ${arrow} ${target}`;

const modeOf = ({ clone }: ImportReport): string => (clone === true ? 'clone' : 'import');

const elapsedOf = ({ startedAt, endedAt }: ImportReport, now: number): number =>
  (endedAt === undefined ? now : Date.parse(endedAt)) - Date.parse(startedAt);

/** One import as it stands: head, every step, a bar for each disk. */
export function importFrame(status: ImportStatus, view: View, at: FrameMoment): string[] {
  const { report } = status;
  const { paint, glyphs } = view.theme;
  const width = Math.min(view.width, widest);
  const right = `${paint(phaseStyle(report.phase), phaseWords(report.phase))}  ${wholeSeconds(elapsedOf(report, at.now))}`;
  const room = Math.max(8, width - cells(right) - 4);
  const name = cut(harmless(report.vm.name), Math.max(8, Math.floor(room / 2)));
  const rest = cut(
    harmless(`${wayOf(report, glyphs.arrow)}  ${modeOf(report)}`),
    room - cells(name),
  );
  const waits = report.waitsFor;
  const wait = waits === undefined ? [] : [paint('yellow', cut(`  ${harmless(waits)}`, width))];
  const head = [spread(`${paint('bold', name)}  ${rest}`, right, width), ...wait, ''];
  const lines = report.steps.flatMap((step) => frameStep(step, status, { view, width, at }));
  const rows = at.rows ?? Infinity;
  if (head.length + lines.length <= rows) return [...head, ...lines];
  // A very low window: what runs now matters most.
  const shown = report.steps
    .filter(({ state }) => state === 'running' || state === 'failed')
    .flatMap((step) => frameStep(step, status, { view, width, at }));
  return [...head, ...shown].slice(0, Math.max(1, rows));
}

function frameStep(
  step: ImportStep,
  status: ImportStatus,
  { view, width, at }: { view: View; width: number; at: FrameMoment },
): string[] {
  const { report, progress, conversion } = status;
  const { paint } = view.theme;
  const time = stepTime(step, at.now);
  const title = padEnd(importStepTitles[step.name], titleCells);
  const idle = step.state === 'waiting' || step.state === 'skipped';
  const paintedTitle =
    step.state === 'running' ? paint('bold', title) : idle ? paint('dim', title) : title;
  const room = width - 4 - titleCells - cells(time) - (time === '' ? 0 : 2);
  const detail = paint('dim', cut(harmless(stepDetail(step, report)), room));
  const head = `  ${stepGlyph(step, view, at.tick)} ${paintedTitle}${detail}`;
  const isRunning = step.state === 'running';
  const trouble = isRunning || step.state === 'failed' ? step.firstError : undefined;
  const tries = step.attempts > 0 ? `try ${step.attempts + 1}; first: ` : '';
  return [
    spread(head, paint('dim', time), width),
    ...(trouble === undefined
      ? []
      : [paint('yellow', cut(`    ${tries}${harmless(trouble.message)}`, width))]),
    ...(step.name === 'check' ? frameConcerns(report, view, width) : []),
    ...(isRunning && bulkSteps.includes(step.name) && progress.length > 0
      ? diskBars(progress, view, { width, indent: 4, most: 12 })
      : []),
    ...(isRunning && stagedSteps.includes(step.name) && conversion !== undefined
      ? conversionLines(conversion, view, width)
      : []),
  ];
}

function conversionLines(
  { stage, percent: share }: NonNullable<ImportStatus['conversion']>,
  view: View,
  width: number,
): string[] {
  const said = cut(`    ${harmless(stage)}`, width);
  if (share === undefined) return [said];
  const bar = { name: 'stage', totalBytes: 100, doneBytes: share, bytesPerSecond: 0 };
  // Only the bar: percent of a stage are no bytes.
  const [line = ''] = bars([bar], view, { width: Math.min(width, 40), indent: 4 });
  return [said, line];
}

function stepDetail(step: ImportStep, report: ImportReport): string {
  const moved = step.bytes ?? 0;
  const cached = report.disks.reduce((sum, disk) => sum + disk.bytesFromCache, 0);
  const used = step.name === 'copy' && cached > 0 ? `, ${bytes(cached)} were there` : '';
  const detail =
    step.state === 'done' && (moved > 0 || used !== '')
      ? `${bytes(moved)} of data${used}`
      : step.state === 'skipped'
        ? 'not needed'
        : importStepPurpose(step.name, report);
  const retries = step.attempts === 1 ? '1 retry' : `${step.attempts} retries`;
  return step.attempts > 0 && step.state === 'done' ? `${detail}, after ${retries}` : detail;
}

/** An import of a request, or why it could not begin. */
export interface ShownImport {
  id: string;
  name: string;
  status?: ImportStatus;
  trouble?: string;
}

/** A line a VM: stage, elapsed, what is left; what happens now comes first where not all fit. */
export function importsFrame(
  shown: readonly ShownImport[],
  view: View,
  { now, rows = Infinity }: FrameMoment,
): string[] {
  const sorted = shown.toSorted((one, other) => urgency(one) - urgency(other));
  const room = Math.max(1, rows - 2);
  const cut = (shown.length <= room ? shown : sorted).slice(0, room);
  const more = shown.length - cut.length;
  return [
    ...importsTable(cut, view, now),
    ...(more > 0 ? [view.theme.paint('dim', `and ${more} more`)] : []),
  ];
}

function urgency({ status, trouble }: ShownImport): number {
  if (status === undefined) return trouble === undefined ? 2 : 1;
  if (!isImportEnd(status.report.phase)) return status.report.phase === 'awaiting-commit' ? 3 : 0;
  return ['committed', 'rehearsed'].includes(status.report.phase) ? 4 : 1;
}

export function importsTable(shown: readonly ShownImport[], view: View, now: number): string[] {
  const rows = shown.map(({ name, status, trouble }): Cell[] => {
    if (status === undefined)
      return [
        { text: name, paint: 'bold' },
        trouble === undefined
          ? { text: 'beginning', paint: 'dim' }
          : { text: 'not begun', paint: 'red' },
        { text: '' },
        { text: '' },
        { text: trouble ?? '', paint: 'yellow' },
      ];
    const { report } = status;
    const left = importMsLeft(status);
    return [
      { text: name, paint: 'bold' },
      { text: stageWords(status), paint: phaseStyle(report.phase) },
      { text: wholeSeconds(elapsedOf(report, now)) },
      { text: left === undefined ? '' : wholeSeconds(Math.max(1000, left)) },
      { text: detailOf(status), paint: 'dim' },
    ];
  });
  const columns = [
    { title: 'VM' },
    { title: 'Stage' },
    { title: 'Elapsed', align: 'right' },
    { title: 'Left', align: 'right' },
    { title: 'What', elastic: true },
  ] as const;
  return table(columns, rows, view);
}

function detailOf({ report, progress, conversion }: ImportStatus): string {
  const fault = report.fault ?? (isImportEnd(report.phase) ? report.firstError : undefined);
  if (fault !== undefined) return fault.message;
  if (report.waitsFor !== undefined) return report.waitsFor;
  if (conversion !== undefined) return conversion.stage;
  const speed = progress.reduce((sum, disk) => sum + disk.bytesPerSecond, 0);
  const total = progress.reduce((sum, disk) => sum + disk.totalBytes, 0);
  if (speed > 0) return `${bytes(total)} at ${rate(speed)}`;
  const retried = report.steps.find(({ state, attempts }) => state === 'running' && attempts > 0);
  return retried?.firstError?.message ?? '';
}

/** One import's change, for output without a screen. */
export const importLine = (name: string, status: ImportStatus, now: number): string => {
  const left = importMsLeft(status);
  const eta = left === undefined ? '' : `, ${wholeSeconds(Math.max(1000, left))} left`;
  const detail = detailOf(status);
  const why = detail === '' ? '' : `: ${detail}`;
  const stamp = new Date(now).toISOString().slice(0, 19);
  return harmless(`${stamp}Z ${name} ${stageWords(status)}${eta}${why}`);
};

function headline(report: ImportReport, view: View): string {
  const { paint, glyphs } = view.theme;
  const { target, foreign, conversionHost, phase } = report;
  const name = report.vm.name;
  const say = (style: 'green' | 'yellow' | 'red' | 'cyan', glyph: string, text: string): string =>
    paint(['bold', style], `${glyph} ${harmless(text)}`);
  const source =
    report.clone === true || report.sourceRunning
      ? `${foreign.provider} has its own still`
      : `it is off at ${foreign.provider}`;
  switch (phase) {
    case 'awaiting-commit':
      return say(
        'green',
        glyphs.done,
        `${name} is on ${target}; ${conversionHost} keeps what was copied until you commit`,
      );
    case 'committed':
      return say('green', glyphs.done, `${name} is on ${target}; the import is committed`);
    case 'rehearsed':
      return say('green', glyphs.done, `${name} was rehearsed on ${conversionHost}; ${source}`);
    case 'parked':
      return say('yellow', glyphs.parked, `The import of ${name} is parked: a person must act`);
    case 'cancelled':
      return say('yellow', glyphs.skipped, `The import of ${name} was cancelled; ${source}`);
    case 'rolled-back':
      return say('yellow', glyphs.skipped, `The import of ${name} was rolled back; ${source}`);
    case 'failed':
      return exitCodeOfImport(report) === ExitCode.refused
        ? say('red', glyphs.failed, `The import of ${name} was refused; nothing was touched`)
        : say('red', glyphs.failed, `The import of ${name} failed; ${source}`);
    case 'planned':
    case 'checking':
    case 'stopping':
    case 'copying':
    case 'converting':
    case 'rehearsing':
    case 'preparing':
    case 'transferring':
    case 'verifying':
    case 'cutting-over':
    case 'starting':
    case 'committing':
    case 'rolling-back':
      return say('cyan', glyphs.arrow, `${name} is on its way to ${target}: ${phaseWords(phase)}`);
  }
}

const oneRunningWords: Record<ImportReport['oneRunning'], string> = {
  observed: 'observed: the source was read back as off',
  none: 'not held: a clone, or not cut over',
};

function fields(report: ImportReport, view: View, now: number): [string, string][] {
  const { disks, foreign, vm } = report;
  const sum = (of: (disk: ImportedDisk) => number): number =>
    disks.reduce((all, disk) => all + of(disk), 0);
  const took =
    report.endedAt === undefined
      ? `${wholeSeconds(elapsedOf(report, now))} ago`
      : `took ${duration(elapsedOf(report, now))}`;
  const copied = `${bytes(sum((disk) => disk.bytesCopied))}, of it twice ${bytes(sum((disk) => disk.bytesRecopied))}, from the cache ${bytes(sum((disk) => disk.bytesFromCache))}`;
  const isCompared = disks.every(({ copyVerified }) => copyVerified === true);
  const compared = isCompared ? ', read back and compared' : '';
  const kind = foreign.kind === undefined ? '' : `, ${foreign.kind}`;
  const entries: [string, string][] = [
    ['VM', vm.uuid === '' ? vm.name : `${vm.name}  ${vm.uuid}`],
    ['Source', `${foreign.name} (${foreign.id}) at ${foreign.provider}${kind}`],
    ['Way', `${wayOf(report, view.theme.glyphs.arrow)}, ${modeOf(report)}`],
    ['Asked by', report.operator],
    ['Started', `${moment(report.startedAt)}, ${took}`],
    ['Parked in', report.parkedIn === undefined ? '' : phaseWords(report.parkedIn)],
    ['Downtime', report.downtimeMs === undefined ? '' : duration(report.downtimeMs)],
    ['Copied', disks.length === 0 ? '' : copied + compared],
    ['Read', [...new Set(disks.flatMap(({ way }) => way ?? []))].join('; ')],
    ['Cache', report.cachedUntil === undefined ? '' : `kept until ${moment(report.cachedUntil)}`],
  ];
  if (exitCodeOfImport(report) !== ExitCode.refused)
    entries.push(['One running', oneRunningWords[report.oneRunning]]);
  return entries.filter(([, text]) => text !== '');
}

const hashCells = 16;

function diskLines({ disks }: ImportReport, view: View): string[] {
  if (disks.length === 0) return [];
  const columns = [
    { title: 'Disk' },
    { title: 'Source' },
    { title: 'Size', align: 'right' },
    { title: 'Copied', align: 'right' },
    { title: 'Cached', align: 'right' },
    { title: 'Sent', align: 'right' },
    { title: 'Verified, hash', elastic: true },
  ] as const;
  const { glyphs } = view.theme;
  const rows = disks.map((disk): Cell[] => [
    { text: disk.name },
    { text: disk.key },
    { text: bytes(disk.capacityBytes) },
    { text: bytes(disk.bytesCopied) },
    { text: bytes(disk.bytesFromCache) },
    { text: bytes(disk.bytesTransferred) },
    disk.verified
      ? { text: `${glyphs.done} ${(disk.targetHash ?? '').slice(0, hashCells)}`, paint: 'green' }
      : { text: `${glyphs.skipped} not verified`, paint: 'yellow' },
  ]);
  const lines = table(columns, rows, { ...view, width: view.width - indent });
  return ['', ...lines.map((line) => ' '.repeat(indent) + line)];
}

function rehearsalNotes({ rehearsal }: ImportReport): string[] {
  if (rehearsal === undefined) return [];
  const { outcome, saw, elapsedMs, emulated, console } = rehearsal;
  const how = emulated ? ', by emulation' : '';
  const said = outcome === 'proved' ? 'It came up' : 'Nothing proves that it came up';
  return [
    `${said}: ${saw} (after ${duration(elapsedMs)}${how}).`,
    ...console.map((line) => `console: ${line}`),
  ];
}

function conversionNotes({ conversion }: ImportReport): string[] {
  if (conversion === undefined) return [];
  const { warnings, notes, logPath, elapsedMs, already } = conversion;
  const took = already
    ? 'It was converted by an earlier attempt.'
    : `It took ${duration(elapsedMs)}.`;
  return [took, ...notes, ...warnings.map((one) => `warning: ${one}`), `Log: ${logPath}`];
}

/** What a person wants to know once an import rests or has ended, and what to do next. */
export function importReportLines(report: ImportReport, view: View, now: number): string[] {
  return [
    headline(report, view),
    '',
    ...fieldLines(fields(report, view, now), view),
    ...diskLines(report, view),
    ...section(
      'Steps',
      stepLines(report.steps, (name) => importStepTitles[name], view),
      view,
    ),
    ...section('Conversion', bulletLines(conversionNotes(report), view), view),
    ...section('Rehearsal', bulletLines(rehearsalNotes(report), view), view),
    ...endLines(report, importNextSteps(report, view), { view, isOver: isImportEnd(report.phase) }),
  ];
}
