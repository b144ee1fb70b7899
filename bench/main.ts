/** `npm run bench`: figures of this machine, ours and the peers' in turn. Never a test: nothing fails by a figure. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BenchContext, BenchGroup } from './benchmark.ts';
import { copies } from './copies.ts';
import { drain } from './drain.ts';
import { foreign } from './foreign.ts';
import { imports } from './imports.ts';
import { live } from './live.ts';
import { moves } from './moves.ts';
import { placement } from './placement.ts';
import { markdownOf, tableOf } from './render.ts';
import { resultOf, skippedResult, type BenchResult } from './result.ts';

const groups: readonly BenchGroup[] = [copies, moves, live, drain, placement, foreign, imports];
const allNames = groups.flatMap(({ names }) => Object.keys(names));

const usage = `usage: npm run bench -- [--json FILE] [--markdown FILE] [--only NAME]... [--runs N] [--fill-mib N]

  --json FILE      the results as JSON
  --markdown FILE  the results as a table for docs/performance.md
  --only NAME      these alone: a name, or the beginning of some
  --runs N         counted runs of each, 5 by default
  --fill-mib N     data on the disk of 4 GiB, 1200 by default; less for a quick look

Names: ${allNames.join(', ')}`;

interface Wishes {
  json?: string;
  markdown?: string;
  names: ReadonlySet<string>;
  runs: number;
  fillMiB: number;
}

function readWishes(args: string[]): Wishes {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'string' },
      markdown: { type: 'string' },
      only: { type: 'string', multiple: true },
      runs: { type: 'string', default: '5' },
      'fill-mib': { type: 'string', default: '1200' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    console.log(usage);
    process.exit(0);
  }
  const runs = wholeNumber('--runs', values.runs, { least: 1, most: 100 });
  const fillMiB = wholeNumber('--fill-mib', values['fill-mib'], { least: 64, most: 4000 });
  const { only } = values;
  const names = allNames.filter((name) => only?.some((each) => name.startsWith(each)) ?? true);
  if (names.length === 0) throw new Error(`nothing is called ${only?.join(', ')}`);
  const { json, markdown } = values;
  return {
    names: new Set(names),
    runs,
    fillMiB,
    ...(json !== undefined && { json }),
    ...(markdown !== undefined && { markdown }),
  };
}

function wholeNumber(what: string, text: string, { least, most }: { least: number; most: number }) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`${what} takes a whole number from ${least} to ${most}, not ${text}`);
}

/** Runs a group in a folder of its own and clears up after it, whatever happens. */
async function runGroup(
  group: BenchGroup,
  wishes: Wishes,
  at: { signal: AbortSignal; commands: Map<string, string> },
): Promise<BenchResult[]> {
  const wanted = Object.keys(group.names).filter((name) => wishes.names.has(name));
  if (wanted.length === 0) return [];
  const missing = await group.missing();
  const results = new Map<string, BenchResult>();
  for (const name of wanted) {
    const why = missing[name];
    if (why !== undefined) results.set(name, skippedResult(name, group.names[name] ?? '', why));
  }
  const able = wanted.filter((name) => !results.has(name));
  if (able.length === 0) return [...results.values()];
  await using closing = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'vmferry-bench-'));
  closing.defer(() => rm(dir, { recursive: true, force: true }));
  const context: BenchContext = {
    runs: wishes.runs,
    fillMiB: wishes.fillMiB,
    dir,
    say: (line) => console.error(`… ${line}`),
    showCommand: (name, command) => at.commands.set(name, command.replaceAll(dir, 'DIR')),
    defer: (act) => closing.defer(act),
    signal: at.signal,
  };
  let why = 'it did not come to it';
  try {
    await group.run(context, new Set(able), ({ name, unit, samples }) =>
      results.set(name, resultOf(name, unit, samples)),
    );
  } catch (error) {
    why = at.signal.aborted
      ? 'interrupted'
      : `it failed: ${error instanceof Error ? error.message : String(error)}`;
    process.exitCode = at.signal.aborted ? 130 : 1;
  }
  const unitOf = (name: string): string => group.names[name] ?? '';
  return wanted.map((name) => results.get(name) ?? skippedResult(name, unitOf(name), why));
}

/** A terminal and npm both pass on one Ctrl-C: what comes within a second is the same. A later one ends at once. */
function stopOnSignals(): AbortController {
  const stop = new AbortController();
  let firstAtMs: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (firstAtMs !== undefined && performance.now() - firstAtMs > 1000) process.exit(130);
      if (firstAtMs !== undefined) return;
      firstAtMs = performance.now();
      console.error('… clearing up');
      stop.abort(new Error('interrupted'));
    });
  }
  return stop;
}

/** Over the last minute. */
const minuteLoad = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100;

async function main(): Promise<void> {
  const wishes = readWishes(process.argv.slice(2));
  const stop = stopOnSignals();
  const commands = new Map<string, string>();
  const results: BenchResult[] = [];
  const load = { before: minuteLoad(), after: 0 };
  for (const group of groups) {
    if (stop.signal.aborted) break;
    results.push(...(await runGroup(group, wishes, { signal: stop.signal, commands })));
  }
  load.after = minuteLoad();
  console.log(`\n${tableOf(results)}`);
  console.log(
    `\nLoad of the machine: ${load.before} before, ${load.after} after (its own included)`,
  );
  if (commands.size > 0) console.log('\nThe commands of the peers, on the target:');
  for (const [name, command] of commands) console.log(`  ${name}: ${command}`);
  if (wishes.json !== undefined) {
    await writeFile(wishes.json, `${JSON.stringify({ results, load }, null, 2)}\n`);
  }
  if (wishes.markdown !== undefined) await writeFile(wishes.markdown, `${markdownOf(results)}\n`);
}

try {
  await main();
} catch (error) {
  console.error(`✗ ${error instanceof Error ? error.message : String(error)}\n${usage}`);
  process.exitCode = 2;
}
