/** The part of `--help` below the options. */
import { wrap } from '../render/text.ts';
import type { Manual } from './manual.ts';
import { codesOf, configFiles, environment } from './manual.ts';
import { manuals } from './pages.ts';

const indent = 2;

type Pair = readonly [string, string];

function pairs(title: string, rows: readonly Pair[], width: number): string[] {
  if (rows.length === 0) return [];
  const widest = Math.max(...rows.map(([name]) => name.length));
  // Long names stand on a line of their own.
  const column = widest > 30 ? 6 : widest + indent + 2;
  const lines = rows.flatMap(([name, what]) => {
    const [first = '', ...more] = wrap(what, width - column);
    const head = ' '.repeat(indent) + name;
    const below = more.map((line) => ' '.repeat(column) + line);
    return widest > 30
      ? [head, ' '.repeat(column) + first, ...below]
      : [head.padEnd(column) + first, ...below];
  });
  return ['', `${title}:`, ...lines];
}

/** Where `-o json` is described. */
const jsonRows = ({ json }: Manual): Pair[] =>
  json.map(([when, name]): Pair => [`docs/schemas/${name}.json`, when]);

/** What stands below the options of the command at `path`, at most `width` cells wide; empty where there is no manual. */
export function helpAfter(path: string, width: number): string {
  const manual = manuals[path];
  if (manual === undefined) return '';
  const files: Pair[] = [...(manual.configured ? configFiles : []), ...(manual.files ?? [])];
  return [
    '',
    'When to use it:',
    ...wrap(manual.when, width - indent).map((line) => ' '.repeat(indent) + line),
    ...pairs('Examples', manual.examples, width),
    ...pairs('JSON (-o json)', jsonRows(manual), width),
    ...pairs(
      'Exit codes',
      codesOf(manual).map(([code, meaning]): Pair => [String(code), meaning]),
      width,
    ),
    ...pairs('Files', files, width),
    ...pairs('Environment', environment, width),
  ].join('\n');
}
