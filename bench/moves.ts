import { setTimeout as delay } from 'node:timers/promises';
import { findTemporalCli } from '../config/temporal-binary.ts';
import { checkMachine } from '../lab/requirements.ts';
import { waitUntil } from '../lab/wait.ts';
import type { BenchContext, BenchGroup, Measured } from './benchmark.ts';
import { byHandCommands, moveByHand } from './by-hand.ts';
import { diskMiB, mebibyte } from './copy-stage.ts';
import { MoveStage } from './move-stage.ts';
import { findPrograms } from './programs.ts';
import type { Sample } from './result.ts';

const names = {
  'orchestration-seconds': 's',
  'resume-recopied-mib': 'MiB',
  'resume-seconds': 's',
  'worker-rss-mib': 'MiB',
} as const;
type Name = keyof typeof names;

/** What the journal takes for a MiB of data that was asked for and became safe, bytes. */
const journalBytesPerMiB = 24;
const smallMiB = 64;
/** A disk whose map alone would show in memory, if anything kept it: 1 TiB with 64 MiB of data. */
const hugeMiB = 1024 * 1024;

const hosts = (stage: MoveStage) => ({
  source: stage.lab.host('alpha'),
  target: stage.lab.host('beta'),
});

/** Deletes a VM that was moved to beta, and its disk. */
async function removeVm(stage: MoveStage, vm: string): Promise<void> {
  const { target } = hosts(stage);
  await stage.virsh(target, 'undefine', vm);
  await stage.virsh(target, 'vol-delete', '--pool', 'default', `${vm}.raw`);
}

/** Our whole move of a VM that is off, less what the same steps take by hand. */
async function orchestration(context: BenchContext, stage: MoveStage): Promise<Measured> {
  const name: Name = 'orchestration-seconds';
  context.showCommand(name, byHandCommands);
  const samples: Sample[] = [];
  for (let run = 0; run <= context.runs; run++) {
    context.signal.throwIfAborted();
    const [ours, hand] = [`ours${run}`, `hand${run}`];
    await stage.vm(ours, { sizeMiB: smallMiB, fillMiB: smallMiB / 2 });
    await stage.vm(hand, { sizeMiB: smallMiB, fillMiB: smallMiB / 2 });
    const start = performance.now();
    const request = {
      vm: ours,
      from: 'alpha',
      to: 'beta',
      verify: 'off',
      autoCommit: true,
    } as const;
    await stage.ended(await stage.ferry.migrate(request), context.signal);
    const oursSeconds = (performance.now() - start) / 1000;
    const handSeconds = await moveByHand(hand, { ...hosts(stage), sizeMiB: smallMiB });
    const both = `ours ${oursSeconds.toFixed(2)} s, by hand ${handSeconds.toFixed(2)} s`;
    context.say(`${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${both}`);
    if (run > 0) samples.push({ ours: oursSeconds - handSeconds });
    for (const vm of [ours, hand]) await removeVm(stage, vm);
  }
  return { name, unit: names[name], samples };
}

interface Resumed {
  recopiedMiB: number;
  seconds: number;
}

/** One move whose target worker is killed when about a quarter of the data is across. */
async function resumeOnce(context: BenchContext, stage: MoveStage, vm: string): Promise<Resumed> {
  const { target } = hosts(stage);
  await stage.vm(vm, { sizeMiB: diskMiB, fillMiB: context.fillMiB });
  const killAt = (context.fillMiB / 4) * journalBytesPerMiB;
  const move = await stage.ferry.migrate({ vm, from: 'alpha', to: 'beta', autoCommit: true });
  const wait = { timeoutMs: 120_000, everyMs: 5 };
  await waitUntil(async () => (await stage.journalBytes(target)) >= killAt, {
    what: 'a quarter of the copy',
    ...wait,
  });
  const killed = performance.now();
  await stage.fleet.worker('beta').kill9();
  const left = await stage.journalBytes(target);
  await waitUntil(async () => (await stage.journalBytes(target)) > left, {
    what: 'bytes to flow again',
    ...wait,
  });
  const seconds = (performance.now() - killed) / 1000;
  const report = await stage.ended(move, context.signal);
  const recopiedMiB = (report.disks[0]?.bytesRecopied ?? Number.NaN) / mebibyte;
  await removeVm(stage, vm);
  return { recopiedMiB, seconds };
}

async function resumes(context: BenchContext, stage: MoveStage): Promise<Resumed[]> {
  const all: Resumed[] = [];
  for (let run = 1; run <= context.runs; run++) {
    context.signal.throwIfAborted();
    const one = await resumeOnce(context, stage, `resume${run}`);
    const flow = `bytes flow after ${one.seconds.toFixed(2)} s`;
    context.say(`resume, run ${run}: ${flow}, ${one.recopiedMiB.toFixed(0)} MiB twice`);
    all.push(one);
  }
  return all;
}

/** Peaks of both workers over whole, verified moves of disks of very different sizes. */
async function memory(context: BenchContext, stage: MoveStage): Promise<Measured> {
  const name: Name = 'worker-rss-mib';
  const samples: Sample[] = [];
  const sizes = [
    { sizeMiB: smallMiB, fillMiB: smallMiB / 2 },
    { sizeMiB: diskMiB, fillMiB: context.fillMiB },
    { sizeMiB: hugeMiB, fillMiB: smallMiB },
  ];
  for (let run = 0; samples.length < Math.max(context.runs, sizes.length); run++) {
    context.signal.throwIfAborted();
    const size = sizes[run % sizes.length] ?? { sizeMiB: smallMiB, fillMiB: smallMiB };
    const vm = `memory${run}`;
    await stage.vm(vm, size);
    const request = { vm, from: 'alpha', to: 'beta', autoCommit: true };
    await stage.ended(await stage.ferry.migrate(request), context.signal);
    // The last heartbeats and the answer to Temporal are the move's, too.
    await delay(200);
    const peaks = await Promise.all(['alpha', 'beta'].map((host) => stage.peakRssMiB(host)));
    const shown = peaks.map((peak) => peak.toFixed(0)).join(' and ');
    context.say(`${name}: ${shown} MiB with a disk of ${size.sizeMiB} MiB`);
    samples.push({ ours: Math.max(...peaks) });
    await removeVm(stage, vm);
  }
  return { name, unit: names[name], samples };
}

/** Everything that needs whole moves. */
export const moves: BenchGroup = {
  names,
  missing: async () => {
    const machine = await checkMachine();
    const lacks = machine.missing.map(({ what, remedy }) => `${what} is missing: ${remedy}`);
    try {
      findTemporalCli();
    } catch (error) {
      lacks.push(error instanceof Error ? error.message : String(error));
    }
    const why = lacks.join(' ');
    const missing: Partial<Record<Name, string>> = {};
    if (why !== '') for (const name of Object.keys(names)) missing[name as Name] = why;
    else if ((await findPrograms(['nbdcopy'])).length > 0) {
      missing['orchestration-seconds'] = 'nbdcopy not found in PATH';
    }
    return missing;
  },
  run: async (context, wanted, done) => {
    const stage = await MoveStage.open(context);
    if (wanted.has('orchestration-seconds')) done(await orchestration(context, stage));
    if (wanted.has('worker-rss-mib')) done(await memory(context, stage));
    if (!wanted.has('resume-seconds') && !wanted.has('resume-recopied-mib')) return;
    const all = await resumes(context, stage);
    const shown: readonly (readonly [Name, (one: Resumed) => number])[] = [
      ['resume-recopied-mib', ({ recopiedMiB }) => recopiedMiB],
      ['resume-seconds', ({ seconds }) => seconds],
    ];
    for (const [name, of] of shown) {
      if (!wanted.has(name)) continue;
      done({ name, unit: names[name], samples: all.map((one) => ({ ours: of(one) })) });
    }
  },
};
