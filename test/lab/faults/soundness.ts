/** What has to hold after every move, whatever went wrong in it; asked of the machine, of libvirt and of the guest. */
import { readdir } from 'node:fs/promises';
import { expect } from 'vitest';
import type { Fault } from '../../../domain/errors.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { readConsole } from '../../../lab/console.ts';
import type { LabHost } from '../../../lab/host.ts';
import { namedNetworkNamespace } from '../../../lab/processes.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { diskServersIn } from '../witness.ts';
import type { Witness } from '../witness.ts';
import type { Stage } from '../stage.ts';

const mebibyte = 1024 * 1024;
/** What a copier may have under way and not yet recorded when it is killed, bytes a disk. */
const mostRecopied = 64 * mebibyte;
const bootMs = 120_000;

export interface Trial {
  stage: Stage;
  vm: LabVm;
  from: string;
  to: string;
  /** The newest tick that the guest had printed before the move. */
  tickBefore: number;
  witness: Witness;
}

/** After a move that came to its end: the VM runs on the target, whole, and nothing of the move is left anywhere. */
export async function expectMoved(trial: Trial, report: MoveReport): Promise<void> {
  const { stage, vm, from, to } = trial;
  expect(report).toMatchObject({
    phase: 'committed',
    vmOn: to,
    vmRunning: true,
    oneRunning: 'enforced',
    failedCompensations: [],
  });
  expect(report.fault).toBeUndefined();
  expect(report.disks.length).toBeGreaterThan(0);
  for (const disk of report.disks) {
    expect(disk.sourceHash).toMatch(/^[0-9a-f]{64}$/);
    expect(disk).toMatchObject({ verified: true, targetHash: disk.sourceHash });
    expect(disk.bytesRecopied).toBeLessThan(mostRecopied);
  }
  // No tick that the guest flushed before it went down may be missing where it came up.
  const lastWords = /power off counter=(\d+)/.exec(
    await readConsole(stage.lab.host(from), vm.name),
  );
  await expectGuestWhole(trial, { on: to, counterAtLeast: Number(lastWords?.[1] ?? Infinity) });
  expectOneCopy(trial, report, { on: to, hosts: [from, to] });
  await expectNothingLeft(stage, { vm, on: to, off: from });
}

/** After a move that was undone: the VM runs on the source again, and nothing of the move is left anywhere. */
export async function expectRestored(trial: Trial, report: MoveReport): Promise<void> {
  const { stage, vm, from, to, tickBefore } = trial;
  expect(report).toMatchObject({
    phase: 'cancelled',
    vmOn: from,
    vmRunning: true,
    failedCompensations: [],
  });
  await expectGuestWhole(trial, { on: from, counterAtLeast: tickBefore });
  expectOneCopy(trial, report, { on: from, hosts: [from] });
  await expectNothingLeft(stage, { vm, on: from, off: to });
}

/** The first error is one of these codes, names that host, and says what to do. */
export function expectFault(
  fault: Fault | undefined,
  wanted: { code: string[]; host: string },
): void {
  expect(wanted.code).toContain(fault?.code);
  expect(fault?.host).toBe(wanted.host);
  expect(fault?.message).not.toBe('');
  expect(fault?.remedy).toMatch(/\w{3}/);
}

/** libvirt runs it there, and the guest itself finds its disk whole and writes on. */
async function expectGuestWhole(
  { stage, vm }: Trial,
  { on, counterAtLeast }: { on: string; counterAtLeast: number },
): Promise<void> {
  expect(await stage.virsh(on, 'domstate', vm.name)).toBe('running');
  const said = /boot=\d+ counter=(\d+)[^]*blocks ok=(\d+) bad=(\d+)/;
  const [, counter, ok, bad] = await stage.lab.waitForConsole(on, vm.name, said, {
    timeoutMs: bootMs,
  });
  expect({ bad, whole: Number(ok) >= 40 }).toEqual({ bad: '0', whole: true });
  expect(Number(counter)).toBeGreaterThanOrEqual(counterAtLeast);
  const next = (await newestTick(stage, on, vm)) + 2;
  await stage.lab.waitForConsole(on, vm.name, new RegExp(`tick ${next}\n`), { timeoutMs: bootMs });
}

/** The newest tick on a VM's console; 0 if there is none. */
export async function newestTick({ lab }: Stage, host: string, vm: LabVm): Promise<number> {
  const ticks = (await readConsole(lab.host(host), vm.name)).matchAll(/^tick (\d+)$/gm);
  return Number([...ticks].at(-1)?.[1] ?? 0);
}

/** By the machine's processes, sampled through the whole move: never two copies, never two exports of a disk. */
function expectOneCopy(
  { stage, witness }: Trial,
  report: MoveReport,
  { on, hosts }: { on: string; hosts: string[] },
): void {
  const netnsOf = (host: string): number | undefined =>
    namedNetworkNamespace(stage.lab.host(host).netns);
  const told = witness.end();
  expect(told.samples).toBeGreaterThan(20);
  expect(told.mostRunning, JSON.stringify(told.whenMost)).toBe(1);
  expect(told.ranIn).toEqual(hosts.map(netnsOf));
  expect(told.runningNow.map(({ netns }) => netns)).toEqual([netnsOf(on)]);
  const exported = report.steps.some(({ name, state }) => name === 'export' && state === 'done');
  for (const { name } of report.disks) {
    expect(told.exports.get(`vmferry:${report.runId}:${name}`), `exports of ${name}`).toBe(
      exported ? 1 : undefined,
    );
  }
}

async function expectNothingLeft(
  stage: Stage,
  { vm, on, off }: { vm: LabVm; on: string; off: string },
): Promise<void> {
  const { lab } = stage;
  const namespaces = lab.hosts.map(({ netns }) => namedNetworkNamespace(netns) ?? -1);
  const traces = async (): Promise<string[]> => {
    const files = await Promise.all(lab.hosts.map((host) => tracesOn(host)));
    return [...diskServersIn(namespaces), ...files.flat()];
  };
  // A killed copier's server takes a moment to see that its client has gone.
  await expect.poll(traces, { timeout: 30_000, interval: 100 }).toEqual([]);
  const known = await stage.virsh(off, 'list', '--all', '--name');
  expect(known.split('\n')).not.toContain(vm.name);
  const there = await filesIn(lab.host(off), [lab.host(off).poolPath, lab.host(off).fastPoolPath]);
  expect(there.filter((file) => file.includes(vm.name))).toEqual([]);
  const here = await filesIn(lab.host(on), [lab.host(on).poolPath]);
  expect(here.filter((file) => file.includes(vm.name))).toEqual([vm.diskPath]);
}

/** Files that only a move under way may have. */
async function tracesOn(host: LabHost): Promise<string[]> {
  const state = ['moves', 'exports', 'local'].map((folder) => `${host.stateDir}/${folder}`);
  const pools = await filesIn(host, [host.poolPath, host.fastPoolPath]);
  const found = [
    ...(await filesIn(host, state)),
    ...pools.filter((file) => file.endsWith('.vmferry-journal')),
  ];
  return found.map((file) => `${host.name}: ${file}`);
}

async function filesIn(host: LabHost, folders: string[]): Promise<string[]> {
  const found = folders.map(async (folder) => {
    const options = { recursive: true, withFileTypes: true } as const;
    const entries = await readdir(host.rootOf(folder), options).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map(({ parentPath, name }) => `${parentPath}/${name}`.slice(host.rootOf('').length));
  });
  return (await Promise.all(found)).flat();
}
