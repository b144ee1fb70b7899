/** A host of ten small running VMs emptied: by us, and by a shell loop of `virsh migrate` with as many at a time. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { isDrained } from '../domain/drain/drain.ts';
import type { DrainReport } from '../domain/drain/drain.ts';
import { waitUntil } from '../lab/wait.ts';
import type { BenchContext, BenchGroup } from './benchmark.ts';
import { MoveStage } from './move-stage.ts';
import { moves } from './moves.ts';
import type { Sample } from './result.ts';

const names = { 'drain/virsh-loop': 's', 'drain-1gbit/virsh-loop': 's' } as const;
type Name = keyof typeof names;

const vmCount = 10;
/** The hosts' own limits at first. */
const parallel = 2;
const drainLimitMs = 600_000;
/** What a small VM has, and a cable that many have. */
const small = { memoryMiB: 512, usedMemoryMiB: 384 } as const;
const cableMbit = 1_000;
const bootMs = 600_000;

const loopOf = (vms: string, to: string): string =>
  [
    `printf '%s\\n' ${vms} | xargs -P ${parallel} -I VM`,
    'virsh -q migrate --live --p2p --tls --persistent --undefinesource --abort-on-error',
    `VM qemu+tls://${to}/system`,
  ].join(' ');

/** Neither disk nor guest system: what is measured is the work around the memory. */
const xmlOf = (vm: string): string => `<domain type='qemu'>
  <name>${vm}</name><uuid>${randomUUID()}</uuid>
  <memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
`;

async function begin(stage: MoveStage, vms: readonly string[]): Promise<void> {
  const alpha = stage.lab.host('alpha');
  for (const vm of vms) {
    const file = `/run/bench-${vm}.xml`;
    await writeFile(alpha.rootOf(file), xmlOf(vm));
    await stage.virsh(alpha, 'define', file);
    await rm(alpha.rootOf(file));
    await stage.virsh(alpha, 'start', vm);
  }
}

/** Ends the VMs on beta, where all of them have to be. */
async function end(stage: MoveStage, vms: readonly string[]): Promise<void> {
  const beta = stage.lab.host('beta');
  for (const vm of vms) {
    await stage.virsh(beta, 'destroy', vm);
    await stage.virsh(beta, 'undefine', vm);
  }
}

const namesOf = (kind: string): string[] =>
  Array.from({ length: vmCount }, (_, at) => `${kind}x${at}`);

async function drained(context: BenchContext, stage: MoveStage, host: string): Promise<number> {
  const start = performance.now();
  const { drain } = await stage.ferry.drain(host, { parallel, autoCommit: true });
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(drainLimitMs)]);
  let report: DrainReport | undefined;
  for await (const status of drain.watch({ signal })) report = status.report;
  const seconds = (performance.now() - start) / 1000;
  if (report === undefined || !isDrained(report))
    throw new Error(`${host} was not drained: ${JSON.stringify(report?.vms)}`);
  await stage.ferry.undrain(host);
  return seconds;
}

async function looped(
  stage: MoveStage,
  vms: readonly string[],
  [from, to]: readonly [string, string],
): Promise<number> {
  const start = performance.now();
  await stage.lab
    .host(from)
    .exec(['sh', '-c', loopOf(vms.join(' '), to)], { timeoutMs: drainLimitMs });
  return (performance.now() - start) / 1000;
}

/** Runs ours and the peer in turn; the first pair does not count. */
async function inPairs(
  context: BenchContext,
  name: Name,
  once: (run: number) => Promise<Sample>,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let run = 0; run <= context.runs; run++) {
    context.signal.throwIfAborted();
    const sample = await once(run);
    const both = `${sample.ours.toFixed(1)} s, by the loop ${(sample.peer ?? 0).toFixed(1)} s`;
    context.say(`${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${both}`);
    if (run > 0) samples.push(sample);
  }
  return samples;
}

/** Hosts take no VM before their workers have told what they have. */
async function untilTaken(stage: MoveStage, vm: string): Promise<void> {
  await waitUntil(
    async () => (await stage.ferry.place({ vm, from: 'alpha' })).answer.chosen === 'beta',
    { what: 'beta to take VMs', timeoutMs: 120_000, everyMs: 500 },
  );
}

/** VMs without a guest, new ones each time. */
async function bare(context: BenchContext, stage: MoveStage): Promise<Sample[]> {
  const name = 'drain/virsh-loop';
  context.showCommand(name, loopOf('VM1 ... VM10', 'beta'));
  const alpha = stage.lab.host('alpha');
  await begin(stage, ['probe']);
  await untilTaken(stage, 'probe');
  await stage.virsh(alpha, 'destroy', 'probe');
  await stage.virsh(alpha, 'undefine', 'probe');
  return inPairs(context, name, async (run) => {
    const ours = namesOf(`ours${run}`);
    await begin(stage, ours);
    const seconds = await drained(context, stage, 'alpha');
    await end(stage, ours);
    const loop = namesOf(`loop${run}`);
    await begin(stage, loop);
    const peer = await looped(stage, loop, ['alpha', 'beta']);
    await end(stage, loop);
    return { ours: seconds, peer };
  });
}

/** Makes the guests on a host, and waits until their memory is full. */
async function beginSmall(stage: MoveStage, host: string, vms: readonly string[]): Promise<void> {
  for (const vm of vms) {
    await stage.lab.createVm(host, { name: vm, ...small });
    await stage.virsh(stage.lab.host(host), 'start', vm);
  }
  for (const vm of vms) await stage.lab.waitForConsole(host, vm, /tick \d+/, { timeoutMs: bootMs });
}

/**
 * Guests with something in their memory, over a cable of 1 Gbit/s, to and fro. Those that the loop moves are always on the
 * other host: a drain takes away all there are, and our guard lets nobody else bring back what we moved.
 */
async function overCable(context: BenchContext, stage: MoveStage): Promise<Sample[]> {
  const name = 'drain-1gbit/virsh-loop';
  context.showCommand(name, loopOf('VM1 ... VM10', 'HOST'));
  const [ours, loop] = [namesOf('ours'), namesOf('loop')];
  context.say(`2 times ${vmCount} guests fill ${small.usedMemoryMiB} MiB each`);
  await beginSmall(stage, 'alpha', ours);
  await beginSmall(stage, 'beta', loop);
  await untilTaken(stage, ours[0] ?? '');
  await stage.lab.setLink('beta', { mbitPerSecond: cableMbit });
  return inPairs(context, name, async (run) => {
    const [from, to] = run % 2 === 0 ? (['alpha', 'beta'] as const) : (['beta', 'alpha'] as const);
    return {
      ours: await drained(context, stage, from),
      peer: await looped(stage, loop, [to, from]),
    };
  });
}

const runs: Record<Name, typeof bare> = {
  'drain/virsh-loop': bare,
  'drain-1gbit/virsh-loop': overCable,
};

export const drain: BenchGroup = {
  names,
  missing: async () => {
    const lacks = (await moves.missing())['worker-rss-mib'];
    if (lacks === undefined) return {};
    return Object.fromEntries(Object.keys(names).map((name) => [name, lacks]));
  },
  run: async (context, wanted, done) => {
    const stage = await MoveStage.open(context);
    for (const name of Object.keys(runs) as Name[]) {
      if (!wanted.has(name)) continue;
      done({ name, unit: names[name], samples: await runs[name](context, stage) });
    }
  },
};
