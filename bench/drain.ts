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

const name = 'drain/virsh-loop';
const unit = 's';
const vmCount = 10;
/** The hosts' own limits at first. */
const parallel = 2;
const drainLimitMs = 600_000;

const loopOf = (vms: string): string =>
  [
    `printf '%s\\n' ${vms} | xargs -P ${parallel} -I VM`,
    'virsh -q migrate --live --p2p --tls --persistent --undefinesource --abort-on-error',
    'VM qemu+tls://beta/system',
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

const namesOf = (kind: string, run: number): string[] =>
  Array.from({ length: vmCount }, (_, at) => `${kind}${run}x${at}`);

async function byUs(context: BenchContext, stage: MoveStage, run: number): Promise<number> {
  const vms = namesOf('ours', run);
  await begin(stage, vms);
  const start = performance.now();
  const { drain } = await stage.ferry.drain('alpha', { parallel, autoCommit: true });
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(drainLimitMs)]);
  let report: DrainReport | undefined;
  for await (const status of drain.watch({ signal })) report = status.report;
  const seconds = (performance.now() - start) / 1000;
  if (report === undefined || !isDrained(report))
    throw new Error(`alpha was not drained: ${JSON.stringify(report?.vms)}`);
  await stage.ferry.undrain('alpha');
  await end(stage, vms);
  return seconds;
}

async function byLoop(stage: MoveStage, run: number): Promise<number> {
  const vms = namesOf('loop', run);
  await begin(stage, vms);
  const start = performance.now();
  await stage.lab
    .host('alpha')
    .exec(['sh', '-c', loopOf(vms.join(' '))], { timeoutMs: drainLimitMs });
  const seconds = (performance.now() - start) / 1000;
  await end(stage, vms);
  return seconds;
}

async function samplesOf(context: BenchContext, stage: MoveStage): Promise<Sample[]> {
  context.showCommand(name, loopOf('VM1 ... VM10'));
  const probe = namesOf('probe', 0).slice(0, 1);
  await begin(stage, probe);
  // Hosts take no VM before their workers have told what they have.
  await waitUntil(
    async () =>
      (await stage.ferry.place({ vm: probe[0] ?? '', from: 'alpha' })).answer.chosen === 'beta',
    { what: 'beta to take VMs', timeoutMs: 120_000, everyMs: 500 },
  );
  await stage.virsh(stage.lab.host('alpha'), 'destroy', probe[0] ?? '');
  await stage.virsh(stage.lab.host('alpha'), 'undefine', probe[0] ?? '');
  const samples: Sample[] = [];
  for (let run = 0; run <= context.runs; run++) {
    context.signal.throwIfAborted();
    const ours = await byUs(context, stage, run);
    const peer = await byLoop(stage, run);
    const both = `${ours.toFixed(1)} s, by the loop ${peer.toFixed(1)} s`;
    context.say(`${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${both}`);
    if (run > 0) samples.push({ ours, peer });
  }
  return samples;
}

export const drain: BenchGroup = {
  names: { [name]: unit },
  missing: async () => {
    const lacks = (await moves.missing())['worker-rss-mib'];
    return lacks === undefined ? {} : { [name]: lacks };
  },
  run: async (context, _wanted, done) => {
    const stage = await MoveStage.open(context);
    done({ name, unit, samples: await samplesOf(context, stage) });
  },
};
