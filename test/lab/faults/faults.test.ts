/** Faults in the move of a VM with two disks of different formats in different pools; test/lab/matrix has the others. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import type { FerryMove } from '../../../cli/ferry.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { fillPool, killLibvirtd } from '../../../lab/faults.ts';
import { checkVmDisk } from '../../../lab/vm.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { ended, midCopy, openStage, reached, until } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { Witness } from '../witness.ts';
import { expectFault, expectMoved, expectRestored, newestTick } from './soundness.ts';
import type { Trial } from './soundness.ts';

const mebibyte = 1024 * 1024;
/** 96 MiB take six seconds: time enough to strike in the middle. */
const bandwidthBytesPerSecond = 16 * mebibyte;
const secondDisk = '/var/lib/libvirt/fast/twin-b.raw';

let stage: Stage;
/** Two disks: qcow2, and a raw one in another pool. */
let twin: LabVm;
let secondDiskSum: string;

const sumOf = async (host: string): Promise<string> => {
  const run = await stage.lab.host(host).exec(['sha256sum', secondDisk], { timeoutMs: 30_000 });
  return run.stdout;
};

async function addSecondDisk(): Promise<void> {
  const alpha = stage.lab.host('alpha');
  const size = { sizeMiB: 64, fillMiB: 24 };
  const file = await stage.lab.createVm('alpha', {
    name: 'twin-b',
    dataDisk: { ...size, pool: 'fast', seed: 7 },
  });
  expect(file.diskPath).toBe(secondDisk);
  await stage.virsh('alpha', 'undefine', 'twin-b');
  await alpha.exec(
    ['virsh', '-q', 'attach-disk', 'twin', secondDisk, 'vdb', '--config', '--subdriver', 'raw'],
    { timeoutMs: 30_000 },
  );
  secondDiskSum = await sumOf('alpha');
}

beforeAll(async () => {
  stage = await openStage({ name: `f${process.pid}`, poolBytes: 1024 * mebibyte });
  twin = await stage.vm('alpha', {
    name: 'twin',
    dataDisk: { sizeMiB: 192, fillMiB: 64, format: 'qcow2', seed: 2 },
  });
  await addSecondDisk();
  await stage.virsh('alpha', 'start', 'twin');
  await stage.lab.waitForConsole('alpha', 'twin', /tick \d+/, { timeoutMs: 120_000 });
});
afterAll(async () => {
  await stage.close();
});

/** Where the VM runs; the moves take it to and fro. */
async function homeOf(): Promise<{ from: string; to: string }> {
  const running = (await stage.virsh('alpha', 'list', '--name')).split('\n');
  return running.includes(twin.name)
    ? { from: 'alpha', to: 'beta' }
    : { from: 'beta', to: 'alpha' };
}

/** Moves a VM with something going wrong on the way, and gives the report of its end. */
async function strike(
  fault: (move: FerryMove, ends: { from: string; to: string }) => Promise<void>,
): Promise<{ trial: Trial; report: MoveReport }> {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const { from, to } = await homeOf();
  const tickBefore = await newestTick(stage, from, twin);
  const witness = Witness.watch(twin.uuid);
  const move = await stage.ferry.migrate({
    vm: twin.name,
    from,
    to,
    bandwidthBytesPerSecond,
    autoCommit: true,
  });
  await fault(move, { from, to });
  const report = await ended(move);
  return { trial: { stage, vm: twin, from, to, tickBefore, witness }, report };
}

const firstErrorOf = (move: FerryMove): Promise<MoveReport> =>
  until(move, ({ report }) => report.firstError !== undefined, 'its first error');

it('goes on through kill -9 of Temporal in mid-copy, which is away for two seconds', async () => {
  const { trial, report } = await strike(async (move) => {
    await midCopy(move, 0.3);
    await stage.fleet.temporal.kill9();
    await delay(2_000);
    await stage.fleet.startTemporal();
  });
  // Whether a heartbeat came too late for the server that came back is a matter of milliseconds.
  if (report.firstError !== undefined) {
    expectFault(report.firstError, { code: ['worker-lost'], host: trial.to });
  }
  expect(report.disks.map(({ name }) => name)).toEqual(['vda', 'vdb']);
  await expectMoved(trial, report);
  expect(await sumOf(trial.to)).toBe(secondDiskSum);
});

it("goes on through kill -9 of the target's libvirtd before the VM is defined there", async () => {
  const { trial, report } = await strike(async (move, { to }) => {
    await midCopy(move, 0.3);
    const restart = await killLibvirtd(stage.lab.host(to));
    await firstErrorOf(move);
    await restart();
  });
  expectFault(report.firstError, { code: ['libvirt-unreachable'], host: trial.to });
  expect(report.steps.find(({ name }) => name === 'define')?.attempts).toBeGreaterThan(0);
  await expectMoved(trial, report);
  expect(await sumOf(trial.to)).toBe(secondDiskSum);
});

it('parks where the target has no room, and gives the VM back when a person says cancel', async () => {
  let release: (() => Promise<void>) | undefined;
  const { trial, report } = await strike(async (move, { to }) => {
    await midCopy(move, 0.2);
    release = await fillPool(stage.lab.host(to), 8 * mebibyte);
    const parked = await reached(move, 'parked');
    expect(parked.parkedIn).toBe('copying');
    expectFault(parked.fault, { code: ['target-disk-full'], host: to });
    await move.cancel();
  });
  expectFault(report.firstError, { code: ['target-disk-full'], host: trial.to });
  await expectRestored(trial, report);
  expect(await sumOf(trial.from)).toBe(secondDiskSum);
  await release?.();
});

it('leaves every block as the lab or the guests wrote it, read from outside', async () => {
  const { from } = await homeOf();
  await stage.virsh(from, 'destroy', twin.name);
  const disk = await checkVmDisk(stage.lab.host(from), twin);
  expect(disk.bad).toBe(0);
  expect(disk.ok).toBeGreaterThanOrEqual(40);
  expect(disk.boot).toBeGreaterThan(2);
});
