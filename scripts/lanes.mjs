// @ts-check
/** `npm test`: lint, then the lanes in order of their cost; the next starts only if the last was green. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { lintAll } from './lint.mjs';
import { root, run } from './process.mjs';
import { elapsed } from './step.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

/** Beside much other work QEMU's emulation breaks guests that move (docs/reliability.md). */
const fragile = 'test/lab/live';

/**
 * A lane is one run of vitest, or several. Most of the contracts and of the lab waits, for servers and guests to come up
 * and for time-outs to pass, so that more files go at a time than there are processors. They share nothing: each file of
 * the lab has a lab, a Temporal and workers of its own.
 * @type {{ name: string, needsHosts: boolean, runs: string[][] }[]}
 */
const lanes = [
  { name: 'quick', needsHosts: false, runs: [[]] },
  { name: 'contract', needsHosts: true, runs: [['--maxWorkers=3']] },
  {
    name: 'lab',
    needsHosts: true,
    runs: [
      ['--fileParallelism', '--maxWorkers=3', `--exclude=${fragile}*/**`],
      ['--fileParallelism', '--maxWorkers=2', fragile],
    ],
  },
];

/**
 * @param {import('./setup.mjs').Outcome} setUp
 * @returns {Promise<number>} exit code; the very last line printed is `N passed, N failed`
 */
export async function runLanes({ limits }) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const left = [];
  const obstacles = [...limits, ...(limits.length > 0 ? [] : await labLimits())];
  if (!(await lintAll())) {
    console.error('✗ The linters object: no test was run. They count as one failure.');
    console.log('\n0 passed, 1 failed');
    return 1;
  }
  for (const { name, needsHosts, runs } of lanes) {
    if (total.failed > 0) {
      left.push(`${name}: not run, because a lane before it failed`);
    } else if (needsHosts && obstacles.length > 0) {
      left.push(
        `${name}: SKIPPED, ${obstacles.map(({ what, remedy }) => `${what}. ${remedy}`).join(' ')}`,
      );
    } else {
      add(total, await runLane(name, runs));
    }
  }
  for (const line of left) console.error(`! ${line}`);
  const incomplete = left.length > 0;
  if (incomplete) console.error('! This was not the whole test suite.');
  if (total.skipped > 0) console.log(`${total.skipped} skipped inside the lanes`);
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || (incomplete && isCi()) ? 1 : 0;
}

const isCi = () => ['true', '1'].includes(process.env.CI ?? '');

/** What the lab itself says about this machine. */
async function labLimits() {
  const file = join(root, 'lab/requirements.ts');
  if (!existsSync(file)) return [];
  const { checkMachine } = await import(pathToFileURL(file).href);
  const { ok, missing } = await checkMachine();
  if (ok) return [];
  return missing.map((/** @type {{ what: string, why: string, remedy: string }} */ one) => ({
    what: `${one.what} (${one.why})`,
    remedy: one.remedy,
  }));
}

/**
 * @param {string} name
 * @param {string[][]} runs
 * @returns {Promise<Count>}
 */
async function runLane(name, runs) {
  const start = Date.now();
  const count = { passed: 0, failed: 0, skipped: 0 };
  console.log(`\n— ${name}`);
  for (const [index, args] of runs.entries())
    add(
      count,
      await runVitest(name, { args, report: `${name}${index > 0 ? `-${index + 1}` : ''}` }),
    );
  console.log(
    `${name}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped  ${elapsed(start)}`,
  );
  return count;
}

/**
 * @param {string} lane
 * @param {{ args: string[], report: string }} options
 * @returns {Promise<Count>}
 */
async function runVitest(lane, { args, report }) {
  const file = join(root, '.tools/reports', `${report}.json`);
  mkdirSync(join(root, '.tools/reports'), { recursive: true });
  rmSync(file, { force: true });
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const code = await run(
    process.execPath,
    [vitest, 'run', '--project', lane, '--passWithNoTests', ...reporters, ...args],
    { through: true },
  );
  const count = readReport(file);
  // A file that does not load, an unhandled rejection or a crash fails the lane without failing any test.
  if (code !== 0 && count.failed === 0) count.failed = 1;
  return count;
}

/**
 * @param {string} file
 * @returns {Count}
 */
function readReport(file) {
  if (!existsSync(file)) return { passed: 0, failed: 0, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(file, 'utf8'),
  );
  return {
    passed: numPassedTests,
    failed: numFailedTests,
    skipped: numPendingTests + numTodoTests,
  };
}

/**
 * @param {Count} total
 * @param {Count} more
 */
function add(total, more) {
  total.passed += more.passed;
  total.failed += more.failed;
  total.skipped += more.skipped;
}
