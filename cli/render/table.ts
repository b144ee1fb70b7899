import { cells, cut, harmless, padEnd, padStart } from './text.ts';
import type { View } from './theme.ts';

export interface Column {
  title: string;
  align?: 'right';
  /** May be cut when the screen is too narrow; the first such column gives way first. */
  elastic?: boolean;
}

export interface Cell {
  text: string;
  paint?: 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
}

const gap = 2;
const smallestElastic = 8;

/** Aligned columns under a heading, without rules or boxes, as wide as they need to be. */
export function table(columns: readonly Column[], rows: readonly Cell[][], view: View): string[] {
  const clean = rows.map((row) => row.map((cell) => ({ ...cell, text: harmless(cell.text) })));
  const widths = columns.map((column, index) =>
    Math.max(cells(column.title), ...clean.map((row) => cells(row[index]?.text ?? ''))),
  );
  const whole = widths.reduce((sum, width) => sum + width, gap * (columns.length - 1));
  let excess = Math.max(0, whole - view.width);
  columns.forEach((column, index) => {
    const width = widths[index] ?? 0;
    if (column.elastic !== true || excess === 0 || width <= smallestElastic) return;
    const given = Math.min(excess, width - smallestElastic);
    widths[index] = width - given;
    excess -= given;
  });
  const line = (row: readonly Cell[]): string =>
    columns
      .map((column, index) => {
        const cell = row[index] ?? { text: '' };
        const width = widths[index] ?? 0;
        const shown = cut(cell.text, width);
        const padded = column.align === 'right' ? padStart(shown, width) : padEnd(shown, width);
        return cell.paint === undefined
          ? padded
          : padded.replace(shown, () => view.theme.paint(cell.paint ?? 'dim', shown));
      })
      .join(' '.repeat(gap))
      .trimEnd();
  return [line(columns.map(({ title }) => ({ text: title, paint: 'dim' }))), ...clean.map(line)];
}
