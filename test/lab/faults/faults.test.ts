import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import type { FerryMove } from '../../../cli/ferry.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { cutLink, fillPool, killLibvirtd } from '../../../lab/faults.ts';
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
/** One raw disk. */
let plain: LabVm;
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
  plain = await stage.vm('alpha', {
    name: 'plain',
    run: true,
    dataDisk: { sizeMiB: 192, fillMiB: 96, seed: 3 },
  });
  await stage.lab.waitForConsole('alpha', 'twin', /tick \d+/, { timeoutMs: 120_000 });
});
afterAll(async () => {
  await stage.close();
});

/** Where the VM runs; the moves take it to and fro. */
async function homeOf(vm: LabVm): Promise<{ from: string; to: string }> {
  const running = (await stage.virsh('alpha', 'list', '--name')).split('\n');
  return running.includes(vm.name) ? { from: 'alpha', to: 'beta' } : { from: 'beta', to: 'alpha' };
}

/** Moves a VM with something going wrong on the way, and gives the report of its end. */
async function strike(
  vm: LabVm,
  fault: (move: FerryMove, ends: { from: string; to: string }) => Promise<void>,
): Promise<{ trial: Trial; report: MoveReport }> {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const { from, to } = await homeOf(vm);
  const tickBefore = await newestTick(stage, from, vm);
  const witness = Witness.watch(vm.uuid);
  const move = await stage.ferry.migrate({
    vm: vm.name,
    from,
    to,
    bandwidthBytesPerSecond,
    autoCommit: true,
  });
  await fault(move, { from, to });
  const report = await ended(move);
  return { trial: { stage, vm, from, to, tickBefore, witness }, report };
}

const firstErrorOf = (move: FerryMove): Promise<MoveReport> =>
  until(move, ({ report }) => report.firstError !== undefined, 'its first error');

describe('a cancel while the guest shuts down', () => {
  it('leaves it running on the source', async () => {
    const { trial, report } = await strike(plain, async (move) => {
      await until(move, ({ report: { phase } }) => phase === 'stopping', 'the shutdown');
      await move.cancel();
    });
    expect(report.phase).toBe('cancelled');
    await expectRestored(trial, report);
  });
});

describe('a move goes on by itself', () => {
  it("through kill -9 of the target's worker in mid-copy", async () => {
    const { trial, report } = await strike(plain, async (move, { to }) => {
      await midCopy(move, 0.3);
      await stage.fleet.worker(to).kill9();
    });
    expectFault(report.firstError, { code: ['worker-lost'], host: trial.to });
    await expectMoved(trial, report);
  });

  it("through kill -9 of the source's worker in mid-copy, whose export serves on", async () => {
    const { trial, report } = await strike(plain, async (move, { from }) => {
      await midCopy(move, 0.3);
      await stage.fleet.worker(from).kill9();
    });
    // If the source had hashed its disk by then, nothing has failed.
    if (report.firstError !== undefined) {
      expectFault(report.firstError, { code: ['worker-lost'], host: trial.from });
    }
    expect(report.disks.map(({ bytesRecopied }) => bytesRecopied)).toEqual([0]);
    await expectMoved(trial, report);
  });

  it("through an orderly restart of the target's worker in mid-copy, which is no cancel", async () => {
    const { trial, report } = await strike(plain, async (move, { to }) => {
      await midCopy(move, 0.1);
      await stage.fleet.worker(to).stop();
      stage.fleet.worker(to).start();
    });
    // A copy that ends within the time that a stopping worker gives it has seen nothing of it.
    if (report.firstError !== undefined) {
      expectFault(report.firstError, { code: ['worker-stopped'], host: trial.to });
    }
    await expectMoved(trial, report);
  });

  it('through kill -9 of Temporal in mid-copy, which is away for two seconds', async () => {
    const { trial, report } = await strike(twin, async (move) => {
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

  it("through kill -9 of the source's libvirtd while its guest goes down", async () => {
    const { trial, report } = await strike(plain, async (move, { from }) => {
      await stage.lab.waitForConsole(from, 'plain', /power off/, { timeoutMs: 60_000 });
      const restart = await killLibvirtd(stage.lab.host(from));
      await delay(1_000);
      await restart();
      await midCopy(move, 0.01);
    });
    if (report.firstError !== undefined) {
      const code = ['libvirt-unreachable', 'libvirt-outcome-unknown'];
      expectFault(report.firstError, { code, host: trial.from });
    }
    await expectMoved(trial, report);
  });

  it("through kill -9 of the target's libvirtd before the VM is defined there", async () => {
    const { trial, report } = await strike(twin, async (move, { to }) => {
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

  it('through a link that is cut in mid-copy for nine seconds', async () => {
    const { trial, report } = await strike(plain, async (move, { to }) => {
      await midCopy(move, 0.3);
      const mend = await cutLink(stage.lab, to);
      await delay(9_000);
      await mend();
    });
    expectFault(report.firstError, { code: ['worker-lost', 'source-unreachable'], host: trial.to });
    await expectMoved(trial, report);
  });
});

describe('a move whose target has no room left in mid-copy', () => {
  /** Strikes, and sees that the move tells who has to do what. */
  async function parkIt(move: FerryMove, to: string): Promise<() => Promise<void>> {
    await midCopy(move, 0.2);
    const release = await fillPool(stage.lab.host(to), 8 * mebibyte);
    const report = await reached(move, 'parked');
    expect(report.parkedIn).toBe('copying');
    expectFault(report.fault, { code: ['target-disk-full'], host: to });
    return release;
  }

  it('parks, and goes on when there is room and a person says retry', async () => {
    const { trial, report } = await strike(plain, async (move, { to }) => {
      const release = await parkIt(move, to);
      await release();
      await move.retry();
    });
    expectFault(report.firstError, { code: ['target-disk-full'], host: trial.to });
    await expectMoved(trial, report);
  });

  it('parks, and gives the VM back when a person says cancel', async () => {
    let release: (() => Promise<void>) | undefined;
    const { trial, report } = await strike(twin, async (move, { to }) => {
      release = await parkIt(move, to);
      await move.cancel();
    });
    expectFault(report.firstError, { code: ['target-disk-full'], host: trial.to });
    await expectRestored(trial, report);
    expect(await sumOf(trial.from)).toBe(secondDiskSum);
    await release?.();
  });
});

describe('a move that a person cancels in mid-copy', () => {
  it('gives the VM back to the source, running', async () => {
    const { trial, report } = await strike(plain, async (move) => {
      await midCopy(move, 0.3);
      await move.cancel();
    });
    expect(report.firstError).toBeUndefined();
    await expectRestored(trial, report);
  });
});

describe('the disks, after all of this', () => {
  it('hold every block that the lab or the guests wrote, read from outside', async () => {
    for (const vm of [plain, twin]) {
      const { from } = await homeOf(vm);
      await stage.virsh(from, 'destroy', vm.name);
      const disk = await checkVmDisk(stage.lab.host(from), vm);
      expect(disk.bad).toBe(0);
      expect(disk.ok).toBeGreaterThanOrEqual(40);
      expect(disk.boot).toBeGreaterThan(2);
    }
  });
});
