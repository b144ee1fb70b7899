import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { updateNames, queryNames } from '../../../workflows/contract.ts';
import type { MoveReport } from '../../../domain/move.ts';
import type { WorkflowHandle } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { disk, FakeWorld } from './fake-hosts.ts';
import type { Verb } from './fake-hosts.ts';
import { MoveBench } from './move-bench.ts';
import { request } from './move-request.ts';

// Ten moves play at a time: on a busy machine each takes its turn.
vi.setConfig({ testTimeout: 60_000 });

let bench: MoveBench;
beforeAll(async () => {
  bench = await MoveBench.open();
}, 60_000);
afterAll(() => bench.close());

/** What must hold after every move, however it ended. */
function expectSound(world: FakeWorld, report: MoveReport): void {
  const story = world.log.join(' | ');
  expect(world.splitBrain, story).toBeUndefined();
  const home = world.host(report.vmOn);
  const other = home === world.alpha ? world.beta : world.alpha;
  expect(home.defined, story).toBe(true);
  expect(home.ledger?.state ?? 'owner', story).toBe('owner');
  expect(home.running, story).toBe(report.vmRunning);
  expect(home.autostart, story).toBe(true);
  expect(home.volumes.get(disk.sourcePath), story).toBe('the data');
  expect(other.running, story).toBe(false);
  expect(other.defined, story).toBe(false);
  expect(other.volumes.size, story).toBe(0);
  expect(world.alpha.exports.size, story).toBe(0);
}

async function until(handle: WorkflowHandle, phase: string): Promise<MoveReport> {
  for (;;) {
    const report = await handle.query<MoveReport>(queryNames.report);
    if (report.phase === phase) return report;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Copies as the server wrote them down: when each was asked for, and when it had ended. */
function copiesIn({ events }: History): string[] {
  const names = new Map<string, string>();
  return (events ?? []).flatMap((event) => {
    const begun = event.activityTaskScheduledEventAttributes;
    if (begun?.activityType?.name === 'ensureCopied') {
      const words = Buffer.from(begun.input?.payloads?.[0]?.data ?? []).toString();
      const { disk: copied } = JSON.parse(words) as { disk: { name: string } };
      names.set(String(event.eventId), copied.name);
      return [`${copied.name} begins`];
    }
    const ended = event.activityTaskCompletedEventAttributes;
    const name = ended && names.get(String(ended.scheduledEventId));
    return typeof name === 'string' ? [`${name} ends`] : [];
  });
}

describe.concurrent('a move without faults', () => {
  it('moves a running VM, verifies it, starts it there and removes the source', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(world, request());
    expect(report.phase).toBe('committed');
    expect(report).toMatchObject({ vmOn: 'beta', vmRunning: true, oneRunning: 'enforced' });
    expect(report.disks).toMatchObject([{ name: 'vda', verified: true, bytesCopied: 8 }]);
    expect(report.steps.map(({ state }) => state)).toEqual(report.steps.map(() => 'done'));
    expectSound(world, report);
  });

  it('leaves a VM off that was off, and says so', async () => {
    const world = new FakeWorld({ running: false });
    const report = await bench.run(world, request());
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: false });
    expect(report.notes.join()).toContain('stays off on beta');
    expect(report.downtimeMs).toBeUndefined();
    expectSound(world, report);
  });

  it('says where the target made a volume larger than the disk', async () => {
    const world = new FakeWorld({ running: true });
    world.volumeSurplusBytes = 512;
    const report = await bench.run(world, request());
    expect(report.phase).toBe('committed');
    expect(report.notes.join()).toContain('web.raw on beta is 512 bytes larger than disk vda');
    expectSound(world, report);
  });

  it('copies an image only once what it lies on is whole, and other disks meanwhile', async () => {
    const world = new FakeWorld({ running: false });
    world.disks = [
      { ...disk, name: 'vda.2' },
      { ...disk, name: 'vda.1', liesOn: 'vda.2' },
      { ...disk, liesOn: 'vda.1' },
      { ...disk, name: 'vdb' },
    ];
    let copies: string[] = [];
    const report = await bench.run(world, request(), async (handle) => {
      await handle.result();
      copies = copiesIn(await handle.fetchHistory());
    });
    expect(report.disks.map(({ verified }) => verified)).toEqual([true, true, true, true]);
    const chain = copies.filter((told) => !told.startsWith('vdb'));
    const [bottom, middle, top] = ['vda.2', 'vda.1', 'vda'].map((name) => [
      `${name} begins`,
      `${name} ends`,
    ]);
    expect(chain).toEqual([...bottom!, ...middle!, ...top!]);
    expect(copies.indexOf('vdb begins')).toBeLessThan(copies.indexOf('vda.2 ends'));
  });

  it('keeps the source until a person commits, and goes back when told to', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(world, request({ autoCommit: false }), async (handle) => {
      await until(handle, 'awaiting-commit');
      expect(world.alpha.volumes.get(disk.sourcePath)).toBe('the data');
      const hasty = handle.executeUpdate(updateNames.rollback, {
        args: [{ discardTargetWrites: false, operator: 'test' }],
      });
      await expect(hasty).rejects.toMatchObject({
        cause: { message: expect.stringContaining('--discard-target-writes') as string },
      });
      await handle.executeUpdate(updateNames.rollback, {
        args: [{ discardTargetWrites: true, operator: 'test' }],
      });
    });
    expect(report).toMatchObject({ phase: 'rolled-back', vmOn: 'alpha', vmRunning: true });
    expectSound(world, report);
  });
});

const before: [string, Verb][] = [
  ['alpha', 'checkSource'],
  ['beta', 'checkTarget'],
  ['beta', 'reserveTarget'],
  ['alpha', 'guardSource'],
  ['alpha', 'ensureStopped'],
  ['alpha', 'ensureExport'],
  ['beta', 'ensureCopied'],
  ['alpha', 'hashDisk'],
  ['beta', 'hashDisk'],
  ['beta', 'ensureDefined'],
  ['alpha', 'releaseSource'],
  ['beta', 'takeOwnership'],
  ['beta', 'ensureStarted'],
  ['beta', 'ensureHealthy'],
];
const after: [string, Verb][] = [
  ['alpha', 'closeExports'],
  ['beta', 'settleTarget'],
  ['alpha', 'removeSource'],
];

describe.concurrent.each(before)('%s %s', (host, verb) => {
  it.each(['before', 'after'] as const)(
    'fails for good %s it acts: the VM runs on its source as if nothing had been',
    async (when) => {
      const world = new FakeWorld({ running: true });
      world.injections.push({ host, verb, when, handling: 'permanent', times: 1 });
      const report = await bench.run(world, request());
      expect(report, world.log.join(' | ')).toMatchObject({
        phase: 'failed',
        vmOn: 'alpha',
        vmRunning: true,
      });
      expect(report.firstError).toMatchObject({ code: 'injected-permanent', host });
      expectSound(world, report);
    },
  );
});

describe.concurrent.each([...before, ...after])('%s %s', (host, verb) => {
  it.each(['before', 'after'] as const)(
    'fails for a while %s it acts: the move goes on and keeps the first error',
    async (when) => {
      const world = new FakeWorld({ running: true });
      world.injections.push({ host, verb, when, handling: 'transient', times: 1 });
      const report = await bench.run(world, request());
      expect(report, world.log.join(' | ')).toMatchObject({
        phase: 'committed',
        vmOn: 'beta',
        vmRunning: true,
      });
      expect(report.firstError?.code).toBe('injected-transient');
      expectSound(world, report);
    },
  );
});

describe.concurrent('a fault that needs a person', () => {
  it('parks the move with its reason, and goes on when told to', async () => {
    const world = new FakeWorld({ running: true });
    world.injections.push({
      host: 'beta',
      verb: 'ensureCopied',
      when: 'before',
      handling: 'needs-operator',
      times: 1,
    });
    const report = await bench.run(world, request(), async (handle) => {
      const parked = await until(handle, 'parked');
      expect(parked).toMatchObject({
        parkedIn: 'copying',
        fault: { code: 'injected-needs-operator', host: 'beta' },
      });
      await handle.executeUpdate(updateNames.retry);
    });
    expect(report).toMatchObject({
      phase: 'committed',
      firstError: { code: 'injected-needs-operator' },
    });
    expectSound(world, report);
  });

  it('is undone by a cancel while it is parked', async () => {
    const world = new FakeWorld({ running: true });
    world.injections.push({
      host: 'beta',
      verb: 'ensureCopied',
      when: 'before',
      handling: 'needs-operator',
      times: 9,
    });
    const report = await bench.run(world, request(), async (handle) => {
      await until(handle, 'parked');
      await handle.cancel();
    });
    expect(report).toMatchObject({ phase: 'cancelled', vmOn: 'alpha', vmRunning: true });
    expectSound(world, report);
  });

  it('after the cutover can be left by going back to the source', async () => {
    const world = new FakeWorld({ running: true });
    world.injections.push({
      host: 'beta',
      verb: 'ensureStarted',
      when: 'before',
      handling: 'needs-operator',
      times: 9,
    });
    const report = await bench.run(world, request(), async (handle) => {
      expect(await until(handle, 'parked')).toMatchObject({ parkedIn: 'starting', vmOn: 'beta' });
      await handle.executeUpdate(updateNames.rollback, {
        args: [{ discardTargetWrites: false, operator: 'test' }],
      });
    });
    expect(report).toMatchObject({ phase: 'failed', vmOn: 'alpha', vmRunning: true });
    expectSound(world, report);
  });

  it('in an undo step is shown, parks the move, and starts nothing before it is mended', async () => {
    const world = new FakeWorld({ running: true });
    world.injections.push({
      host: 'beta',
      verb: 'ensureHealthy',
      when: 'before',
      handling: 'permanent',
      times: 1,
    });
    world.injections.push({
      host: 'beta',
      verb: 'revokeTarget',
      when: 'before',
      handling: 'permanent',
      times: 1,
    });
    const report = await bench.run(world, request(), async (handle) => {
      await until(handle, 'parked');
      expect(world.alpha.running).toBe(false);
      await handle.executeUpdate(updateNames.retry);
    });
    expect(report).toMatchObject({ phase: 'failed', vmOn: 'alpha', vmRunning: true });
    expect(report.failedCompensations).toMatchObject([{ code: 'injected-permanent' }]);
    expectSound(world, report);
  });
});

describe.concurrent.each(before)('a cancel during %s %s', (host, verb) => {
  it('leaves the VM running once, where the report says', async () => {
    const world = new FakeWorld({ running: true });
    let cancel: () => Promise<void> = () => Promise.resolve();
    const started = new Promise<void>((resolve) => {
      world.onCall = async (calledHost, calledVerb) => {
        if (calledHost !== host || calledVerb !== verb) return;
        world.onCall = () => undefined;
        await cancel();
        resolve();
      };
    });
    const report = await bench.run(world, request(), async (handle) => {
      cancel = async () => {
        await handle.cancel();
      };
      await started;
    });
    expect(['cancelled', 'committed'], world.log.join(' | ')).toContain(report.phase);
    expect(report.vmRunning).toBe(true);
    expectSound(world, report);
  });
});
