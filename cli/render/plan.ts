/** What `vmferry migrate --dry-run` shows. */
import { blocks } from '../../domain/concerns.ts';
import type { MovePlan, PlannedDisk } from '../../domain/move.ts';
import { concernLines } from './report-parts.ts';
import { oneRunningWords } from './report.ts';
import { bytes } from './quantity.ts';
import { stepPurpose, stepTitles } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { cells, harmless, padEnd, wrap } from './text.ts';
import type { View } from './theme.ts';

const indent = '  ';
const titleCells = Math.max(...Object.values(stepTitles).map(cells)) + 2;

/** The whole plan; nothing of it has happened. */
export function planLines(plan: MovePlan, view: View): string[] {
  const { paint, glyphs } = view.theme;
  const { vm, source, target } = plan;
  const refused = blocks(plan.concerns);
  const style = refused ? 'red' : 'green';
  const head = refused
    ? `${glyphs.failed} ${vm.name} cannot move from ${source} to ${target} as asked`
    : `${glyphs.done} ${vm.name} can move from ${source} to ${target}`;
  const inner = { ...view, width: view.width - indent.length };
  const concerns = concernLines(plan.concerns, view);
  return [
    ...wrap(harmless(head), view.width).map((line) => paint(['bold', style], line)),
    ...wrap(harmless(facts(plan)), inner.width).map((line) => indent + line),
    ...section('Why this host', placementLines(plan, inner), view),
    ...section('Findings', concerns.length === 0 ? [`${indent}none`] : concerns, view),
    ...section('Disks', diskLines(plan.disks, inner), view),
    ...section('Steps', stepLines(plan, inner), view),
    '',
    'This was a dry run: nothing was touched.',
  ];
}

const section = (title: string, lines: readonly string[], view: View): string[] =>
  lines.length === 0 ? [] : ['', view.theme.paint('bold', title), ...lines];

const placementLines = ({ placement }: MovePlan, view: View): string[] =>
  (placement?.reasons ?? []).flatMap((reason) =>
    wrap(harmless(reason), view.width).map((line) => indent + line),
  );

/** A critical finding leaves nothing to hold. */
const heldWords: typeof oneRunningWords = { ...oneRunningWords, none: 'held by nothing' };

function facts(plan: MovePlan): string {
  const { source, vm, running, mode, oneRunning } = plan;
  const power = !running
    ? `${vm.name} is off on ${source}`
    : mode === 'live'
      ? `${vm.name} runs on ${source} and would run on`
      : `${vm.name} runs on ${source} and would be shut down`;
  const what = plan.disks.every(({ how }) => how === 'shared')
    ? 'no disk would be copied'
    : 'disks would be copied';
  return `${power}; ${what}. One running copy would be ${heldWords[oneRunning]}.`;
}

function diskLines(disks: readonly PlannedDisk[], view: View): string[] {
  if (disks.length === 0) return [];
  const columns = [
    { title: 'Disk' },
    { title: 'How' },
    { title: 'Size', align: 'right' },
    { title: 'Taken', align: 'right' },
  ] as const;
  const rows = disks.map((disk): Cell[] => [
    { text: disk.name, paint: 'bold' },
    { text: howWords(disk) },
    { text: bytes(disk.capacityBytes) },
    { text: bytes(disk.allocationBytes) },
  ]);
  const [head = '', ...lines] = table(columns, rows, view);
  const shown = lines.flatMap((line, index) => [line, ...wayLines(disks[index], view)]);
  return [head, ...shown].map((line) => indent + line);
}

function howWords({ how, proof }: PlannedDisk): string {
  if (how === 'copy') return 'copied';
  if (proof === 'nonce') return 'shared, seen by both hosts';
  return proof === 'content' ? 'shared, to be proved by content' : 'shared';
}

/** From where to where, below the disk: paths are long. */
function wayLines(disk: PlannedDisk | undefined, view: View): string[] {
  if (disk === undefined) return [];
  const { from, to } = disk;
  const pool = to.pool === '' ? '' : ` in pool ${to.pool}`;
  const place = to.path === '' ? `a volume that the pool will name` : to.path;
  const way =
    disk.how === 'shared'
      ? `${from.path}, ${from.format}`
      : `${from.path}, ${from.format} ${view.theme.glyphs.arrow} ${place}, ${to.format}${pool}`;
  return wrap(harmless(way), view.width - 4).map((line) => view.theme.paint('dim', `    ${line}`));
}

function stepLines({ steps, source, target }: MovePlan, view: View): string[] {
  return steps.map((name, index) => {
    const number = padEnd(`${index + 1}.`, 4);
    const title = padEnd(stepTitles[name], titleCells);
    const purpose = view.theme.paint('dim', stepPurpose(name, { source, target }));
    return `${indent}${number}${title}${purpose}`;
  });
}
