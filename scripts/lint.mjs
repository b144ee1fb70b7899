// @ts-check
/** The linters, two at a time; what they say is shown only if they object. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { capture, root, run } from './process.mjs';
import { elapsed } from './step.mjs';

const bin = (/** @type {string} */ path) => join(root, 'node_modules', path);
const limitMs = 600_000;

/** Rooms that exist; dependency-cruiser refuses folders that do not. */
const rooms = () =>
  [
    'domain',
    'protocols',
    'config',
    'transfer',
    'guard',
    'convert',
    'platforms',
    'activities',
    'workflows',
    'client',
    'lab',
    'workers',
    'cli',
    'api',
    'test',
    'bench',
  ].filter((room) => existsSync(join(root, room)));

const linters = () => [
  { name: 'eslint', args: [bin('eslint/bin/eslint.js'), '.'], fix: 'npx eslint --fix .' },
  { name: 'tsc', args: [bin('typescript/bin/tsc'), '-p', '.'], fix: 'the lines above' },
  {
    name: 'prettier',
    args: [bin('prettier/bin/prettier.cjs'), '--check', '.'],
    fix: 'npm run format',
  },
  {
    name: 'dependency-cruiser',
    args: [
      bin('dependency-cruiser/bin/dependency-cruiser.mjs'),
      '--config',
      '.dependency-cruiser.cjs',
      ...rooms(),
    ],
    fix: 'an import that the rooms allow (.dependency-cruiser.cjs)',
  },
  { name: 'knip', args: [bin('knip/bin/knip.js')], fix: 'remove what nothing uses' },
];

/** @returns {Promise<boolean>} whether all are content */
export async function lintAll() {
  const waiting = linters();
  let content = true;
  const worker = async () => {
    for (let linter = waiting.shift(); linter !== undefined; linter = waiting.shift()) {
      const start = Date.now();
      const { code, output } = await capture(process.execPath, linter.args, { timeoutMs: limitMs });
      if (code === 0) {
        console.log(`✓ ${linter.name}  ${elapsed(start)}`);
      } else {
        content = false;
        console.error(
          `✗ ${linter.name}  ${elapsed(start)}\n${output.trimEnd()}\n  What to do: ${linter.fix}`,
        );
      }
    }
  };
  await Promise.all([worker(), worker()]);
  return content;
}

/** @returns {Promise<number>} exit code */
export const formatAll = () =>
  run(process.execPath, [bin('prettier/bin/prettier.cjs'), '--write', '--log-level', 'warn', '.'], {
    through: true,
  });
