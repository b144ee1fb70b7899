import type { DiskProgress } from '../../domain/move.ts';
import { bytes, percent, rate, wholeSeconds } from './quantity.ts';
import { cells, cut, harmless, padEnd, padStart } from './text.ts';
import type { View } from './theme.ts';

// Columns of fixed width, so that nothing jumps while figures change.
const percentCells = 5;
const nameCells = 8;
const shortestBar = 4;
const longestBar = 40;

/** What a bar shows; `leftMs` where somebody knows better than the rate says, be it that it cannot be known. */
export interface Bar extends Omit<DiskProgress, 'capacityBytes'> {
  leftMs?: number | undefined;
}

/** A figure at the right of the bar; on a narrow screen the last ones give way. */
interface Figure {
  cells: number;
  text: (bar: Bar) => string;
}

const figures: readonly Figure[] = [
  { cells: 20, text: (disk) => amount(disk.doneBytes, disk.totalBytes) },
  { cells: 10, text: (disk) => (isMoving(disk) ? rate(disk.bytesPerSecond) : '') },
  {
    cells: 11,
    text: (disk) => {
      const left = 'leftMs' in disk ? disk.leftMs : millisecondsLeft(disk);
      // At least a second: `0 s left` would stand there for as long as the last second takes.
      return left === undefined ? '' : `${wholeSeconds(Math.max(1000, left))} left`;
    },
  },
];

const isMoving = (disk: Bar): boolean =>
  disk.bytesPerSecond > 0 && disk.doneBytes < disk.totalBytes;

/** Sum of several disks, as one. */
const sumOf = (disks: readonly DiskProgress[], name: string): Bar => ({
  name,
  totalBytes: disks.reduce((sum, disk) => sum + disk.totalBytes, 0),
  doneBytes: disks.reduce((sum, disk) => sum + disk.doneBytes, 0),
  bytesPerSecond: disks.reduce((sum, disk) => sum + disk.bytesPerSecond, 0),
});

/** Estimate of what is left, ms; undefined while it would be a guess. */
export function millisecondsLeft(disk: Bar): number | undefined {
  const left = disk.totalBytes - disk.doneBytes;
  return left > 0 && disk.bytesPerSecond > 0 ? (left / disk.bytesPerSecond) * 1000 : undefined;
}

/** `6.2 of 10.0 GiB`, or with both units where they differ. */
export function amount(done: number, total: number): string {
  const [doneText, totalText] = [bytes(done), bytes(total)];
  const unit = totalText.slice(totalText.indexOf(' '));
  return doneText.endsWith(unit) && unit !== ' B'
    ? `${doneText.slice(0, -unit.length)} of ${totalText}`
    : `${doneText} of ${totalText}`;
}

interface Layout {
  indent: number;
  name: number;
  bar: number;
  figures: readonly Figure[];
}

function layoutFor(names: readonly string[], options: { width: number; indent: number }): Layout {
  const { width, indent } = options;
  const name = Math.min(nameCells, Math.max(3, ...names.map(cells)));
  const shown: Figure[] = [];
  let bar = width - indent - name - 2 - 1 - percentCells;
  for (const figure of figures) {
    if (bar - 2 - figure.cells < shortestBar) break;
    shown.push(figure);
    bar -= 2 + figure.cells;
  }
  return { indent, name, bar: Math.max(1, Math.min(longestBar, bar)), figures: shown };
}

function barLine(disk: Bar, view: View, layout: Layout): string {
  const { glyphs, paint } = view.theme;
  const share = percent(disk.doneBytes, disk.totalBytes);
  const full = Math.floor((layout.bar * share) / 100);
  const bar =
    paint(share === 100 ? 'green' : 'cyan', glyphs.barFull.repeat(full)) +
    paint('dim', glyphs.barEmpty.repeat(layout.bar - full));
  const name = padEnd(cut(harmless(disk.name), layout.name), layout.name);
  const shown = layout.figures.map(({ cells: width, text }) => `  ${padStart(text(disk), width)}`);
  const head = `${' '.repeat(layout.indent)}${name}  ${bar} ${padStart(`${share} %`, percentCells)}`;
  return (head + shown.join('')).trimEnd();
}

/** A bar a disk, and a sum where there are several; beyond `most` lines, disks that are done give way first. */
export function diskBars(
  disks: readonly DiskProgress[],
  view: View,
  options: { width: number; indent: number; most: number },
): string[] {
  const room = Math.max(1, options.most);
  const lines =
    disks.length > 1 ? [...fitting(disks, room - 1), sumOf(disks, 'total')] : [...disks];
  return bars(lines, view, options);
}

/** One bar below the other, their figures in columns. */
export function bars(
  lines: readonly Bar[],
  view: View,
  options: { width: number; indent: number },
): string[] {
  const layout = layoutFor(
    lines.map(({ name }) => harmless(name)),
    options,
  );
  return lines.map((one) => barLine(one, view, layout));
}

function fitting(disks: readonly DiskProgress[], most: number): DiskProgress[] {
  if (disks.length <= most) return [...disks];
  const unfinished = disks.filter((disk) => disk.doneBytes < disk.totalBytes);
  return unfinished.slice(0, Math.max(0, most));
}
