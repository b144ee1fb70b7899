import type { DiskProgress } from '../../domain/move.ts';
import { bytes, percent, rate, wholeSeconds } from './quantity.ts';
import { cut, harmless, padEnd, padStart } from './text.ts';
import type { View } from './theme.ts';

// Columns of fixed width, so that nothing jumps while figures change.
const percentCells = 5;
const amountCells = 20;
const rateCells = 10;
const leftCells = 11;
const gaps = 2 + 1 + 2 + 2 + 2;
const nameCells = 8;
const shortestBar = 4;
const longestBar = 40;

/** Sum of several disks, as one. */
export const sumOf = (disks: readonly DiskProgress[], name: string): DiskProgress => ({
  name,
  capacityBytes: disks.reduce((sum, disk) => sum + disk.capacityBytes, 0),
  totalBytes: disks.reduce((sum, disk) => sum + disk.totalBytes, 0),
  doneBytes: disks.reduce((sum, disk) => sum + disk.doneBytes, 0),
  bytesPerSecond: disks.reduce((sum, disk) => sum + disk.bytesPerSecond, 0),
});

/** Estimate of what is left, ms; undefined while it would be a guess. */
export function millisecondsLeft(disk: DiskProgress): number | undefined {
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

function barLine(
  disk: DiskProgress,
  view: View,
  widths: { name: number; bar: number; indent: number },
): string {
  const { glyphs, paint } = view.theme;
  const share = percent(disk.doneBytes, disk.totalBytes);
  const complete = share === 100;
  const full = Math.floor((widths.bar * share) / 100);
  const bar =
    paint(complete ? 'green' : 'cyan', glyphs.barFull.repeat(full)) +
    paint('dim', glyphs.barEmpty.repeat(widths.bar - full));
  const left = millisecondsLeft(disk);
  // At least a second: `0 s left` would stand there for as long as the last second takes.
  const leftText = left === undefined ? '' : `${wholeSeconds(Math.max(1000, left))} left`;
  return [
    ' '.repeat(widths.indent),
    padEnd(cut(harmless(disk.name), widths.name), widths.name),
    '  ',
    bar,
    ' ',
    padStart(`${share} %`, percentCells),
    '  ',
    padStart(amount(disk.doneBytes, disk.totalBytes), amountCells),
    '  ',
    padStart(complete || disk.bytesPerSecond <= 0 ? '' : rate(disk.bytesPerSecond), rateCells),
    '  ',
    padStart(complete ? '' : leftText, leftCells),
  ]
    .join('')
    .trimEnd();
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
  const name = Math.min(nameCells, Math.max(3, ...lines.map((disk) => disk.name.length)));
  const fixed = options.indent + name + gaps + percentCells + amountCells + rateCells + leftCells;
  const bar = Math.min(longestBar, Math.max(shortestBar, options.width - fixed));
  return lines.map((disk) => barLine(disk, view, { name, bar, indent: options.indent }));
}

function fitting(disks: readonly DiskProgress[], most: number): DiskProgress[] {
  if (disks.length <= most) return [...disks];
  const unfinished = disks.filter((disk) => disk.doneBytes < disk.totalBytes);
  return unfinished.slice(0, Math.max(0, most));
}
