import type { BenchResult } from './result.ts';

const heads = ['name', 'ours', 'peer', 'unit', 'ratio', 'min - max', 'runs'];

const figure = (value: number | null): string => (value === null ? '-' : value.toFixed(2));

const cells = (result: BenchResult): string[] => {
  const { name, ours, peer, unit, ratio, runs, min, max, skipped } = result;
  if (skipped !== undefined) return [name, 'skipped:', skipped, '', '', '', ''];
  const spread = `${figure(min)} - ${figure(max)}`;
  return [name, figure(ours), figure(peer), unit, figure(ratio), spread, String(runs)];
};

/** Columns for a terminal; `median` is what `ours` and `peer` are. */
export const tableOf = (results: readonly BenchResult[]): string => {
  const rows = [heads, ...results.filter((one) => one.skipped === undefined).map(cells)];
  const widths = heads.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) =>
        at === 0 || at === 3 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
      )
      .join('  '),
  );
  const skipped = results.flatMap(({ name, skipped: why }) =>
    why === undefined ? [] : [`! ${name} was not measured: ${why}`],
  );
  return [...lines, ...skipped].join('\n');
};

/** The same as a Markdown table, for docs/performance.md. */
export const markdownOf = (results: readonly BenchResult[]): string =>
  [heads, heads.map((_, at) => (at === 0 || at === 3 ? '---' : '--:')), ...results.map(cells)]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
