import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { everyMode } from '../../../domain/checks/foreign/rule.ts';
import { allForeignRules } from '../../../domain/checks/foreign/rules.ts';

const page = new URL('../../../docs/checks.md', import.meta.url);

const rows = (): string[] =>
  allForeignRules
    .flatMap(({ side, modes, outcomes }) =>
      Object.entries(outcomes).map(([code, { level, meaning, remedy }]) => {
        const when = modes.length === everyMode.length ? 'every' : modes.join();
        return { code, cells: [`\`${code}\``, level, side, when, meaning, remedy] };
      }),
    )
    .sort((left, right) => (left.code < right.code ? -1 : 1))
    .map(({ cells }) => `| ${cells.join(' | ')} |`.replaceAll(/<[^>]+>/g, '`$&`'));

it('docs/checks.md lists every rule of imports, with the words of the table', async () => {
  const [, imports = ''] = (await readFile(page, 'utf8')).split('\n## Imports\n');
  expect(imports.split('\n').filter((line) => line.startsWith('| `'))).toEqual(rows());
});
