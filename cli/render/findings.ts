import type { Finding } from '../checks.ts';
import { harmless, padEnd, wrap } from './text.ts';
import type { View } from './theme.ts';

const nameCells = 19;
const indent = 2 + nameCells;

/** `✓ Temporal           127.0.0.1:7233, version 1.32.0`, with the remedy below where there is one. */
export function findingLines(finding: Finding, view: View): string[] {
  const { paint, glyphs } = view.theme;
  const glyph = {
    good: paint('green', glyphs.done),
    bad: paint('red', glyphs.failed),
    unknown: paint('dim', glyphs.skipped),
  }[finding.state];
  const name = padEnd(harmless(finding.check), nameCells);
  const shownName = finding.state === 'bad' ? paint('bold', name) : name;
  // A detail may be a list, one finding a line, as for a configuration file.
  const column = (text: string): string[] =>
    text.split('\n').flatMap((line) => wrap(harmless(line), view.width - indent));
  const [first = '', ...more] = column(finding.detail);
  const below = [
    ...more,
    ...(finding.remedy === undefined ? [] : column(`remedy: ${finding.remedy}`)),
  ];
  const detail = finding.state === 'unknown' ? paint('dim', first) : first;
  const gap = name.endsWith(' ') ? '' : ' ';
  return [
    `${glyph} ${shownName}${gap}${detail}`,
    ...below.map((line) => ' '.repeat(indent) + line),
  ];
}
