import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { everyMode } from '../../../domain/checks/rule.ts';
import { allRules } from '../../../domain/checks/rules.ts';

const page = new URL('../../../docs/checks.md', import.meta.url);

/** A code that both sides may find has one line. */
function rows(): string[] {
  const found = new Map<string, { sides: string[]; rest: string[] }>();
  for (const { side, modes, skip, outcomes } of allRules) {
    for (const [code, { level, meaning, remedy }] of Object.entries(outcomes)) {
      const before = found.get(code);
      const when = modes.length === everyMode.length ? 'every' : modes.join();
      const skipped = skip === undefined ? '' : ` Skipped by \`${skip}\`.`;
      const rest = [level, when, `${meaning}${skipped}`, remedy];
      if (before !== undefined) expect(before.rest).toEqual(rest);
      found.set(code, { sides: [...(before?.sides ?? []), side], rest });
    }
  }
  return [...found]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(
      ([
        code,
        {
          sides,
          rest: [level, when, ...words],
        },
      ]) =>
        ['', `\`${code}\``, level, sides.join(' and '), when, ...words, '']
          .join(' | ')
          .trim()
          .replaceAll(/<[^>]+>/g, '`$&`'),
    );
}

it('docs/checks.md lists every rule, with the words of the table', async () => {
  // Those of imports come after; a test of their own holds them.
  const [text = ''] = (await readFile(page, 'utf8')).split('\n## Imports\n');
  expect(text.split('\n').filter((line) => line.startsWith('| `'))).toEqual(rows());
});
