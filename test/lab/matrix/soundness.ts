/** What has to hold after every row of the fault table; asked of the machine, of libvirt, of the guest and of the disk. */
import { randomUUID } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import type { MoveReport } from '../../../domain/move.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { readConsole } from '../../../lab/console.ts';
import type { LabHost } from '../../../lab/host.ts';
import { namedNetworkNamespace } from '../../../lab/processes.ts';
import type { Run } from '../../../lab/runs.ts';
import { diskServersIn } from '../witness.ts';
import { ask, told } from './ask.ts';
import { overlapOf } from './tick-log.ts';
import type { Stretch } from './tick-log.ts';
import type { FaultRow, Scene } from './scene.ts';

const bootMs = 150_000;
/** Another row may have the host frozen, with what has to end there. */
const endMs = 60_000;

/** Faults that pass by themselves: a move may have met one, whatever the row was about. */
const passing = [
  ...['worker-lost', 'worker-stopped', 'worker-unreachable', 'source-unreachable'],
  ...[
    'libvirt-unreachable',
    'libvirt-outcome-unknown',
    'libvirt-busy',
    'vm-locked',
    'vm-state-changed',
  ],
  ...['journal-in-use', 'attempt-still-acting', 'superseded', 'export-failed', 'export-slow'],
];

export interface Outcome {
  scene: Scene;
  row: FaultRow;
  report: MoveReport;
  /** The newest tick that the guest had printed before the move. */
  tickBefore: number;
  /** From the witness: runs of the VM, those before the move included. */
  runs: readonly Run[];
  stretches: Stretch[];
}

export async function expectSound(outcome: Outcome): Promise<void> {
  const { scene, row, report } = outcome;
  const moved = row.end === 'committed';
  const [on, off] = moved ? [scene.target, scene.source] : [scene.source, scene.target];
  expect(report).toMatchObject({
    phase: row.end,
    vmOn: on.name,
    vmRunning: true,
    oneRunning: 'enforced',
    failedCompensations: [],
  });
  expectFault(outcome);
  expectDisks(outcome);
  await expectGuestWhole(outcome, on);
  expectOneCopy(outcome, on);
  await expectNothingLeft(outcome, { on, off });
  await expectOnlyHere(outcome, { on, off });
}

function expectFault({ row, report }: Outcome): void {
  const { firstError } = report;
  if (row.codes !== undefined) {
    expect([...row.codes, ...passing]).toContain(firstError?.code);
  } else if (firstError !== undefined) {
    expect(passing).toContain(firstError.code);
  }
  if (firstError === undefined) return;
  expect(firstError.host, firstError.message).toMatch(/\w/);
  expect(firstError.remedy).toMatch(/\w{3}/);
}

function expectDisks({ row, report, scene }: Outcome): void {
  expect(report.disks).toHaveLength(1);
  if (row.end !== 'committed' || scene.storage !== 'file') return;
  for (const disk of report.disks) {
    expect(disk.sourceHash).toMatch(/^[0-9a-f]{64}$/);
    expect(disk).toMatchObject({ verified: true, targetHash: disk.sourceHash });
  }
}

/** The guest itself finds its disk whole and writes on, with no tick lost that it had flushed. */
async function expectGuestWhole(outcome: Outcome, on: LabHost): Promise<void> {
  const { scene, row, tickBefore } = outcome;
  const { stage, vm } = scene;
  expect(await told(on, 'domstate', vm.name)).toBe('running');
  const said = /boot=\d+ counter=(\d+)[^]*blocks ok=(\d+) bad=(\d+)/;
  const limit = { timeoutMs: bootMs };
  const [, counter, ok, bad] = await stage.lab.waitForConsole(on.name, vm.name, said, limit);
  expect({ bad, whole: Number(ok) >= 40 }).toEqual({ bad: '0', whole: true });
  // After a commit the source's console still holds its last run there, to the last tick.
  const before = row.end === 'committed' ? await newestTick(scene.source, vm.name) : tickBefore;
  expect(Number(counter)).toBeGreaterThanOrEqual(before);
  const next = (await newestTick(on, vm.name)) + 2;
  await stage.lab.waitForConsole(on.name, vm.name, new RegExp(`tick ${next}\n`), limit);
}

/** The newest tick on a VM's console; 0 if there is none. */
export async function newestTick(host: LabHost, vm: string): Promise<number> {
  const ticks = (await readConsole(host, vm)).matchAll(/^tick (\d+)$/gm);
  return Number([...ticks].at(-1)?.[1] ?? 0);
}

/** By the witness of processes and by the guest's ticks: at no moment two, and now one. */
function expectOneCopy({ runs, stretches, scene }: Outcome, on: LabHost): void {
  expect(runs.filter(({ beside }) => beside)).toEqual([]);
  const living = runs.filter(({ endNs }) => endNs === undefined);
  expect(living.map(({ host }) => host)).toEqual([on.name]);
  expect(runs.length).toBeGreaterThan(scene.runsBefore);
  expect(overlapOf(stretches)).toBeUndefined();
}

/** No export, no file of the move, no volume or definition on the side that does not own it. */
async function expectNothingLeft(
  { scene, report }: Outcome,
  { on, off }: { on: LabHost; off: LabHost },
): Promise<void> {
  const { stage, vm } = scene;
  const namespaces = stage.lab.hosts.map(({ netns }) => namedNetworkNamespace(netns) ?? -1);
  const traces = async (): Promise<string[]> => {
    const servers = diskServersIn(namespaces).filter((line) => line.includes(report.runId));
    const files = await Promise.all([on, off].map((host) => tracesOn(host, report.runId)));
    return [...servers, ...files.flat()];
  };
  // A killed copier's server takes a moment to see that its client has gone.
  await expect.poll(traces, { timeout: endMs, interval: 200 }).toEqual([]);
  const known = await told(off, 'list', '--all', '--name');
  expect(known.split('\n')).not.toContain(vm.name);
  const there = await readdir(off.rootOf(off.poolPath));
  expect(there.filter((name) => name.startsWith(`${vm.name}.`))).toEqual([]);
  const here = await readdir(on.rootOf(on.poolPath));
  const own = scene.storage === 'file' ? [vm.diskPath.split('/').at(-1)] : [];
  expect(here.filter((name) => name.startsWith(`${vm.name}.`))).toEqual(own);
}

/** Files of a host that belong to that move. */
async function tracesOn(host: LabHost, runId: string): Promise<string[]> {
  const folders = ['moves', 'exports', 'local'].map((name) => `${host.stateDir}/${name}`);
  const found = folders.map(async (folder) => {
    const names = await readdir(host.rootOf(folder)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    const own = names.filter((name) => decodeURIComponent(name).includes(runId));
    return own.map((name) => `${host.name}: ${folder}/${name}`);
  });
  return (await Promise.all(found)).flat();
}

/** The ledgers agree, and libvirt refuses the same VM on the other host, whoever asks. */
async function expectOnlyHere(
  { scene }: Outcome,
  { on, off }: { on: LabHost; off: LabHost },
): Promise<void> {
  const { vm } = scene;
  const entries = await Promise.all(
    [on, off].map((host) =>
      new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name }).read(vm.uuid),
    ),
  );
  expect(entries[0]?.state).toBe('owner');
  expect(['released', undefined]).toContain(entries[1]?.state);
  const xml = await told(on, 'dumpxml', '--inactive', vm.name);
  const path = `/run/again-${randomUUID()}.xml`;
  await writeFile(off.rootOf(path), xml);
  const runsOn = (): number =>
    scene.runs.of(vm.uuid).filter(({ host }) => host === off.name).length;
  const runsBefore = runsOn();
  // Asked again if the daemon goes meanwhile: a start that came of the first try shows in the witness's log.
  const again = await ask(off, ['create', path]);
  await rm(off.rootOf(path));
  const begun = runsOn() - runsBefore;
  if (again.exitCode === 0 || begun > 0) await ask(off, ['destroy', vm.name]);
  expect(again.exitCode, `the VM was started on ${off.name} too`).not.toBe(0);
  expect(begun, `QEMU was started on ${off.name} too`).toBe(0);
  // A host that never owned the VM has no disk of it in its own pool, and no word in its ledger.
  if (entries[1] !== undefined) expect(again.stderr).toMatch(/may not start on this host/);
}
