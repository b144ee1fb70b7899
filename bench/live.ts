/** A guest that goes to and fro while it runs: by us, and by `virsh migrate` with the same flags. */
import { defaultLiveWishes } from '../domain/live.ts';
import { readConsole } from '../lab/console.ts';
import { waitUntil } from '../lab/wait.ts';
import type { BenchContext, BenchGroup, Measured } from './benchmark.ts';
import { MoveStage } from './move-stage.ts';
import { moves } from './moves.ts';
import type { Sample } from './result.ts';

const names = { 'live-seconds/virsh': 's', 'live-downtime/virsh': 'ms' } as const;
type Name = keyof typeof names;

const bootMs = 180_000;
const tellsWithinMs = 60_000;
const virshArgs = [
  ...['migrate', '--live', '--p2p', '--tls', '--persistent', '--undefinesource', '--unsafe'],
  '--abort-on-error',
];

interface OneWay {
  seconds: number;
  /** By the guest's own clocks, within some 20 ms. */
  pauseMs: number;
}

/** What the guest says on a host of its pauses, ms; the console holds the current run alone: all of it is since it came. */
async function pausesOn(stage: MoveStage, vm: string, host: string): Promise<number[]> {
  const text = await readConsole(stage.lab.host(host), vm);
  return [...text.matchAll(/^pause_ms=(\d+)$/gm)].map(([, ms]) => Number(ms));
}

async function timed(
  stage: MoveStage,
  { vm, to }: { vm: string; to: string },
  go: () => Promise<void>,
): Promise<OneWay> {
  const start = performance.now();
  await go();
  const seconds = (performance.now() - start) / 1000;
  // It looks back on some seconds at a time: the first look here is the one that the move lay in.
  const [pauseMs = 0] = await waitUntil(
    async () => {
      const pauses = await pausesOn(stage, vm, to);
      return pauses.length > 0 && pauses;
    },
    { what: `${vm} to tell of its pause on ${to}`, timeoutMs: tellsWithinMs, everyMs: 100 },
  );
  return { seconds, pauseMs };
}

async function begin(stage: MoveStage, vm: string): Promise<void> {
  await stage.vm(vm, { sizeMiB: 64, fillMiB: 16, pool: 'shared' });
  await stage.virsh(stage.lab.host('alpha'), 'start', vm);
  await stage.lab.waitForConsole('alpha', vm, /tick \d+/, { timeoutMs: bootMs });
}

async function measure(context: BenchContext, stage: MoveStage): Promise<Record<Name, Sample[]>> {
  const [ours, hand] = ['ours', 'hand'];
  for (const vm of [ours, hand]) await begin(stage, vm);
  context.showCommand(
    'live-seconds/virsh',
    `virsh ${virshArgs.join(' ')} VM qemu+tls://HOST/system`,
  );
  const samples: Record<Name, Sample[]> = { 'live-seconds/virsh': [], 'live-downtime/virsh': [] };
  for (let run = 0; run <= context.runs; run++) {
    context.signal.throwIfAborted();
    const [from, to] = run % 2 === 0 ? (['alpha', 'beta'] as const) : (['beta', 'alpha'] as const);
    const byUs = await timed(stage, { vm: ours, to }, async () => {
      const request = { vm: ours, from, to, autoCommit: true, live: defaultLiveWishes };
      await stage.ended(await stage.ferry.migrate(request), context.signal);
    });
    const byHand = await timed(stage, { vm: hand, to }, async () => {
      await stage.virsh(stage.lab.host(from), 'migrate-setmaxdowntime', hand, '300');
      await stage.virsh(stage.lab.host(from), ...virshArgs, hand, `qemu+tls://${to}/system`);
    });
    const seconds = `${byUs.seconds.toFixed(2)} s and ${byHand.seconds.toFixed(2)} s by virsh`;
    const pauses = `pauses of ${byUs.pauseMs} ms and ${byHand.pauseMs} ms`;
    context.say(`live, ${run === 0 ? 'warm-up' : `run ${run}`}: ${seconds}, ${pauses}`);
    if (run === 0) continue;
    samples['live-seconds/virsh'].push({ ours: byUs.seconds, peer: byHand.seconds });
    samples['live-downtime/virsh'].push({ ours: byUs.pauseMs, peer: byHand.pauseMs });
  }
  return samples;
}

export const live: BenchGroup = {
  names,
  missing: async () => {
    const lacks = (await moves.missing())['worker-rss-mib'];
    if (lacks === undefined) return {};
    return Object.fromEntries(Object.keys(names).map((name) => [name, lacks]));
  },
  run: async (context, wanted, done) => {
    const stage = await MoveStage.open(context, { shared: true });
    const samples = await measure(context, stage);
    for (const name of Object.keys(names) as Name[]) {
      const measured: Measured = { name, unit: names[name], samples: samples[name] };
      if (wanted.has(name)) done(measured);
    }
  },
};
