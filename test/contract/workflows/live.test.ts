import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkflowHandle } from '@temporalio/client';
import type { Concern } from '../../../domain/concerns.ts';
import type { Fault } from '../../../domain/errors.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import { isEnd } from '../../../domain/move.ts';
import type { LiveWishes } from '../../../domain/live.ts';
import type { MoveReport, MoveRequest } from '../../../domain/move.ts';
import { queryNames, updateNames } from '../../../workflows/contract.ts';
import { disk, FakeWorld } from '../../quick/workflows/fake-hosts.ts';
import type { LiveRun } from '../../quick/workflows/fake-hosts.ts';
import { MoveBench } from '../../quick/workflows/move-bench.ts';
import { request } from '../../quick/workflows/move-request.ts';

let bench: MoveBench;
/** Which moves gave their places back, with where the VM was by then; and who waits for that. */
const given: Record<string, (string | undefined)[]> = {};
const givers = new Map<string, () => void>();
beforeAll(async () => {
  bench = await MoveBench.open({
    releaseMove: ({ moveId, arrivedOn }) => {
      (given[moveId] ??= []).push(arrivedOn);
      givers.get(moveId)?.();
      return Promise.resolve();
    },
  });
}, 60_000);
afterAll(() => bench.close());

const live = (wishes: Partial<LiveWishes> = {}, changes: Partial<MoveRequest> = {}): MoveRequest =>
  request({ live: { ...defaultLiveWishes, ...wishes }, ...changes });

function worldOf(...runs: LiveRun[]): FakeWorld {
  const world = new FakeWorld({ running: true });
  world.liveRuns.push(...runs);
  return world;
}

const passing: Fault = {
  code: 'live-interrupted',
  handling: 'transient',
  message: 'the link broke',
  remedy: 'none',
};
const final: Fault = { ...passing, code: 'live-not-converging', handling: 'permanent' };

/** One copy runs, where the report says; nothing is left anywhere else; nobody else may start it. */
function expectSound(world: FakeWorld, report: MoveReport): void {
  const story = world.log.join(' | ');
  expect(world.splitBrain, story).toBeUndefined();
  const home = world.host(report.vmOn);
  const other = home === world.alpha ? world.beta : world.alpha;
  expect(home.running, story).toBe(report.vmRunning);
  expect(home.ledger?.state ?? 'owner', story).toBe('owner');
  expect(home.autostart, story).toBe(true);
  expect([other.running, other.defined, other.volumes.size], story).toEqual([false, false, 0]);
  expect(world.beta.token, story).toBe('');
}

async function until(handle: WorkflowHandle, done: (report: MoveReport) => boolean) {
  for (;;) {
    const report = await handle.query<MoveReport>(queryNames.report);
    if (done(report)) return report;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe.concurrent('a live move', () => {
  it('takes the guest along and tells of its pause; no step of a cold move is shown', async () => {
    const world = worldOf();
    const report = await bench.run(world, live());
    expect(report).toMatchObject({
      ...{ phase: 'committed', mode: 'live', vmOn: 'beta', vmRunning: true, downtimeMs: 12 },
      live: { runs: 1, totalMs: 900, downtimeMs: 12, iterations: 3, postCopy: false },
    });
    expect(report.steps.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'check done',
      'reserve-target done',
      'guard-source done',
      'live done',
      'cut-over done',
      'commit done',
    ]);
    expect(world.log.join()).not.toMatch(/ensureStopped|ensureStarted|ensureCopied/);
    expectSound(world, report);
  });

  it('has a guest that arrived paused let go by the target where the source cannot', async () => {
    const world = worldOf('kept');
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
    expect(report.notes.join()).toContain('no way there');
    expect(world.log).toContain('beta settleArrival');
    expectSound(world, report);
  });

  it('gives its places back as soon as the guest is seen there, not when libvirt is done with it', async () => {
    const world = worldOf('seen');
    const { promise, resolve } = Promise.withResolvers<undefined>();
    world.libvirtEnds = promise;
    const report = await bench.run(world, live(), (handle) => {
      givers.set(handle.workflowId, () => resolve(undefined));
      return Promise.resolve();
    });
    expect(given[report.id]).toEqual(['beta']);
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
    expect(world.log).not.toContain('beta settleArrival');
    expectSound(world, report);
  });

  it('runs one copy where libvirt took the guest back after it had arrived, and tries again', async () => {
    const world = worldOf('taken-back');
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', live: { runs: 2 } });
    const withdrawn = world.log.indexOf('beta withdrawLive');
    const ended = world.log.indexOf('beta settleArrival');
    expect([withdrawn >= 0, ended > withdrawn]).toEqual([true, true]);
    expectSound(world, report);
  });

  it('commits nothing by itself while libvirt at the target complains of the guest that is there', async () => {
    const world = worldOf('unkept');
    const report = await bench.run(world, live(), async (handle) => {
      await until(handle, ({ phase }) => phase === 'awaiting-commit');
      await handle.executeUpdate(updateNames.commit, { args: [{ operator: 'test' }] });
    });
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', live: { runs: 1 } });
    expect(report.notes.join()).toContain('the definition was not kept. Define it there.');
    expectSound(world, report);
  });

  it('does not hold a guest that may go to post-copy', async () => {
    const world = worldOf();
    const report = await bench.run(world, live({ postCopy: true }));
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta' });
    expect(world.log.join()).not.toContain('settleArrival');
    expectSound(world, report);
  });

  it('begins again after a run that broke off, under a leave of its own', async () => {
    const world = worldOf(passing, passing);
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', live: { runs: 3 } });
    expect(report.firstError?.code).toBe('live-interrupted');
    expectSound(world, report);
  });

  it('leaves the guest running where it was if it cannot be moved, and nothing at the target', async () => {
    const world = worldOf(final);
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'failed', vmOn: 'alpha', vmRunning: true });
    expect(report.fault?.code).toBe('live-not-converging');
    expect(world.log.join()).not.toContain('ensureStopped');
    expectSound(world, report);
  });

  it.each([
    ['a failure', [final], 'failed'],
    ['a cancel', ['waits'], 'cancelled'],
  ] as const)(
    'leaves its volumes at the target after %s, if that was asked, and says how to find them',
    async (_words, runs, phase) => {
      const world = worldOf(...runs);
      const report = await bench.run(world, live({ keepTargetOnFailure: true }), async (handle) => {
        if (phase === 'failed') return;
        await until(handle, () => world.liveWaits);
        await handle.cancel();
      });
      expect(report).toMatchObject({ phase, vmOn: 'alpha', vmRunning: true });
      expect(report.notes.join()).toContain('`vmferry orphans --host beta` lists it');
      expect([...world.beta.volumes.keys()]).toEqual([disk.targetPath]);
      world.beta.volumes.clear();
      expectSound(world, report);
    },
  );

  it('shuts the guest down and moves it cold where that is allowed', async () => {
    const world = worldOf(final);
    const report = await bench.run(world, live({ fallback: 'cold' }));
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
    expect(report.live?.gaveUp).toContain('the link broke');
    expect(report.disks).toMatchObject([{ verified: true }]);
    expectSound(world, report);
  });

  it('goes cold at once where a check forbids a live move, if that is allowed', async () => {
    const concern: Concern = {
      ...{ code: 'cpu-incompatible', level: 'critical', host: 'beta' },
      ...{ message: 'another CPU', remedy: 'none' },
    };
    const world = worldOf();
    world.concernsOf = ({ live: wishes }) => (wishes === undefined ? [] : [concern]);
    const report = await bench.run(world, live({ fallback: 'cold' }));
    expect(report).toMatchObject({ phase: 'committed', mode: 'cold', vmOn: 'beta' });
    expect(report.notes.join()).toContain('another CPU');
    expect(world.log.join()).not.toContain('moveLive');
    expectSound(world, report);

    const refused = worldOf();
    refused.concernsOf = () => [concern];
    const without = await bench.run(refused, live());
    expect(without).toMatchObject({ phase: 'failed', fault: { code: 'cpu-incompatible' } });
    expectSound(refused, without);
  });

  it('can be called off while it runs', async () => {
    const world = worldOf('waits');
    const report = await bench.run(world, live(), async (handle) => {
      await until(handle, () => world.liveWaits);
      await handle.cancel();
    });
    expect(report).toMatchObject({ phase: 'cancelled', vmOn: 'alpha', vmRunning: true });
    expectSound(world, report);
  });

  it('goes on from the target if the guest had arrived before it could be called off, and waits for a word', async () => {
    const world = worldOf('slips');
    const report = await bench.run(world, live(), async (handle) => {
      await until(handle, () => world.liveWaits);
      await handle.cancel();
      await until(handle, ({ phase }) => phase === 'awaiting-commit');
      await handle.executeUpdate(updateNames.commit, { args: [{ operator: 'test' }] });
    });
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
    expect(report.notes.join()).toContain('before it could be called off');
    expectSound(world, report);
  });

  it('takes new limits while it runs, also for later runs', async () => {
    const world = worldOf('waits');
    await bench.run(world, live(), async (handle) => {
      await until(handle, () => world.liveWaits);
      const order = { operator: 'ann', bandwidthBytesPerSecond: 1000, maxDowntimeMs: 50 };
      const done = await handle.executeUpdate(updateNames.tune, { args: [order] });
      expect(done).toBe(true);
      const nothing = handle.executeUpdate(updateNames.tune, { args: [{ operator: 'ann' }] });
      await expect(nothing).rejects.toThrow();
      await handle.cancel();
    });
    expect(world.tuned).toMatchObject([{ bandwidthBytesPerSecond: 1000, maxDowntimeMs: 50 }]);
  });

  it('ends what a broken switch left paused at the source, once the guest runs at the target', async () => {
    const world = worldOf('half');
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
    expect(world.log).toContain('alpha settleLive');
    expectSound(world, report);
  }, 60_000);

  it('lets a guest go on that was left paused for a switch that never came', async () => {
    const world = worldOf('stuck');
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', live: { runs: 2 } });
    const withdrawn = world.log.indexOf('beta withdrawLive');
    expect(withdrawn).toBeGreaterThan(-1);
    expect(withdrawn).toBeLessThan(world.log.indexOf('alpha settleLive'));
    expectSound(world, report);
  }, 60_000);

  it('leaves a guest off that went down by itself on the way', async () => {
    const world = worldOf('goes-down');
    const report = await bench.run(world, live());
    expect(report).toMatchObject({ phase: 'failed', vmOn: 'alpha', vmRunning: false });
    expect(report.fault?.code).toBe('vm-went-down');
    expectSound(world, report);
  });

  it("goes back after it ran at the target, by a person's word alone", async () => {
    const world = worldOf();
    const report = await bench.run(world, live({}, { autoCommit: false }), async (handle) => {
      await until(handle, ({ phase }) => phase === 'awaiting-commit');
      const order = { discardTargetWrites: false, operator: 'test' };
      await expect(
        handle.executeUpdate(updateNames.rollback, { args: [order] }),
      ).rejects.toMatchObject({
        cause: { message: expect.stringContaining('--discard-target-writes') as string },
      });
      const meant = { ...order, discardTargetWrites: true };
      await handle.executeUpdate(updateNames.rollback, { args: [meant] });
    });
    expect(report).toMatchObject({ phase: 'rolled-back', vmOn: 'alpha', vmRunning: true });
    expect(world.alpha.volumes.get(disk.sourcePath)).toBe('the data');
    expectSound(world, report);
  });
});

/** How the run ends in which a verb is called: a guest that arrives paused and is let go needs nobody to ask for it. */
const verbs = [
  ['beta', 'reserveLive', 'let-go'],
  ['alpha', 'guardSource', 'let-go'],
  ['alpha', 'moveLive', 'let-go'],
  ['beta', 'settleArrival', 'kept'],
  ['beta', 'liveView', 'not-held'],
  ['alpha', 'liveView', 'not-held'],
  ['alpha', 'releaseSource', 'let-go'],
  ['beta', 'takeOwnership', 'let-go'],
] as const;

describe.concurrent('a fault at a live move', () => {
  const cases = verbs.flatMap(([host, verb, ends]) =>
    (['before', 'after'] as const).map((when) => ({ host, verb, when, ends })),
  );
  const played = (ends: (typeof verbs)[number][2]) => ({
    world: ends === 'kept' ? worldOf('kept') : worldOf(),
    asked: live({ postCopy: ends === 'not-held' }),
  });
  it.each(cases)(
    '$when $verb on $host: it is tried again and ends well',
    async ({ ends, ...at }) => {
      const { world, asked } = played(ends);
      world.injections.push({ ...at, handling: 'transient', times: 1 });
      const report = await bench.run(world, asked);
      expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
      expect(report.firstError?.code).toBe('injected-transient');
      expectSound(world, report);
    },
  );

  it.each(cases.slice(0, 6))(
    '$when $verb on $host, for good: one copy runs, whichever',
    async ({ ends, ...at }) => {
      const { world, asked } = played(ends);
      world.injections.push({ ...at, handling: 'permanent', times: 1 });
      const report = await bench.run(world, asked, async (handle) => {
        const { phase } = await until(
          handle,
          (now) => isEnd(now.phase) || now.phase === 'awaiting-commit',
        );
        if (!isEnd(phase))
          await handle.executeUpdate(updateNames.commit, { args: [{ operator: 'test' }] });
      });
      const arrived = world.beta.running;
      expect(report).toMatchObject({
        vmRunning: true,
        ...(arrived ? { phase: 'committed', vmOn: 'beta' } : { phase: 'failed', vmOn: 'alpha' }),
      });
      expectSound(world, report);
    },
  );
});
