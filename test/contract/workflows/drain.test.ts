import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { DrainReport } from '../../../domain/drain/drain.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { queryNames, signalNames } from '../../../workflows/contract.ts';
import { DrainedHost } from '../../quick/workflows/drained-host.ts';
import { DrainStage, reportWhen, statesOf } from '../../quick/workflows/drain-stage.ts';

let stage: DrainStage;
beforeAll(async () => {
  stage = await DrainStage.open();
}, 60_000);
afterAll(() => stage.close());

const resultOf = async (handle: { result(): Promise<unknown> }): Promise<DrainReport> =>
  (await handle.result()) as DrainReport;

describe('a drain', { timeout: 60_000 }, () => {
  it('marks its host and takes every VM away: what awaits its commit counts as moved', async () => {
    const host = await stage.host(
      new DrainedHost('a1', { wait1: 'running', wait2: 'shut-off', wait3: 'running' }),
    );
    const report = await resultOf(await stage.drain(host));
    expect(report).toMatchObject({ phase: 'done', host: 'a1', operator: 'ada' });
    expect(report.vms).toMatchObject([
      { name: 'wait1', state: 'moved', to: 'beta', awaitsCommit: true, mode: 'live' },
      { name: 'wait2', state: 'moved', to: 'beta', awaitsCommit: true, mode: 'cold' },
      { name: 'wait3', state: 'moved', to: 'beta', awaitsCommit: true, mode: 'live' },
    ]);
    expect(host.orders).toEqual([{ draining: true, operator: 'ada' }]);
    // The host itself is no target, and each move has a room promised.
    const first = host.placed.find(({ vm }) => vm.name === 'wait1');
    expect(first).toMatchObject({ exclude: ['a1'], move: { moveId: 'migrate/c/a1-wait1' } });
  });

  it('tries another target, leaves what cannot move, and gives the place of a parked move away', async () => {
    const host = await stage.host(
      new DrainedHost('a2', {
        full: 'running',
        never: 'running',
        park: 'running',
        wait: 'shut-off',
      }),
    );
    const handle = await stage.drain(host, { parallel: 1 });
    const report = await resultOf(handle);
    expect(report.vms).toMatchObject([
      { name: 'full', state: 'moved', to: 'gamma', excluded: ['beta'] },
      { name: 'never', state: 'left', why: 'a2 has what does not fit', fault: { code: 'no' } },
      { name: 'park', state: 'parked', why: 'the disk is full' },
      { name: 'wait', state: 'moved' },
    ]);
  });

  it('sees what comes up and goes while it runs', async () => {
    const host = await stage.host(
      new DrainedHost('a3', { hold: 'running', 'late-gone': 'running', later: 'running' }),
    );
    const handle = await stage.drain(host, { parallel: 1 });
    await reportWhen(handle, (_, { vms }) => vms[1]?.moveId !== undefined);
    for (const name of ['late-gone', 'later']) host.vms.delete(name);
    host.vms.set('wait-new', 'running');
    await stage.go(host, 'hold');
    expect(statesOf(await resultOf(handle))).toEqual({
      ...{ hold: 'moved', 'late-gone': 'gone', later: 'gone', 'wait-new': 'moved' },
    });
  });

  it('has the next moves looked into while others go, with no place of theirs taken yet', async () => {
    const host = await stage.host(
      new DrainedHost('b1', { hold1: 'running', hold2: 'running', hold3: 'running' }),
    );
    const handle = await stage.drain(host, { parallel: 1 });
    const isReady = (_: unknown, { vms }: DrainReport): boolean => vms[1]?.moveId !== undefined;
    const { vms } = await reportWhen(handle, isReady);
    expect(vms).toMatchObject([
      ...[{ state: 'moving' }, { state: 'next', to: 'beta' }, { state: 'waiting' }],
    ]);
    expect(host.placed.map(({ vm, move }) => [vm.name, move?.waits])).toEqual([
      ['hold1', undefined],
      ['hold2', true],
    ]);
    const expectPhase = (vm: string, phase: string): Promise<void> =>
      vi.waitFor(
        async () => {
          const report = await stage.move(host, vm).query<MoveReport>(queryNames.report);
          expect(report.phase).toBe(phase);
        },
        { timeout: 20_000, interval: 50 },
      );
    await expectPhase('hold2', 'planned');
    await stage.go(host, 'hold1');
    await reportWhen(handle, ({ hold2, hold3 }) => hold2 === 'moving' && hold3 === 'next');
    await expectPhase('hold2', 'copying');
    for (const vm of ['hold2', 'hold3']) await stage.go(host, vm);
    expect(statesOf(await resultOf(handle))).toEqual({
      ...{ hold1: 'moved', hold2: 'moved', hold3: 'moved' },
    });
  });

  it('looks anew into what waited for its turn for too long', async () => {
    const host = await stage.host(new DrainedHost('b3', { hold: 'running', tired: 'running' }));
    const handle = await stage.drain(host, { parallel: 1 });
    const triesOf = (vm: string) => host.placed.filter((one) => one.vm.name === vm).length;
    await reportWhen(handle, ({ tired }) => tired === 'next' && triesOf('tired') > 1);
    await stage.go(host, 'hold');
    expect(statesOf(await resultOf(handle))).toEqual({ hold: 'moved', tired: 'moved' });
  });

  it('that is cancelled calls back what waits for its turn, too', async () => {
    const host = await stage.host(new DrainedHost('b2', { hold1: 'running', hold2: 'running' }));
    const handle = await stage.drain(host, { parallel: 1 });
    await reportWhen(handle, (_, { vms }) => vms[1]?.moveId !== undefined);
    await handle.signal(signalNames.cancelling, { operator: 'bob' });
    await handle.cancel();
    expect(statesOf(await resultOf(handle))).toEqual({ hold1: 'left', hold2: 'left' });
    expect((await stage.move(host, 'hold2').describe()).status.name).toBe('CANCELLED');
  });

  it('turns to the next VM once the guest of one has arrived, and awaits the ends of all', async () => {
    const host = await stage.host(new DrainedHost('a8', { there: 'running', wait: 'running' }));
    const handle = await stage.drain(host, { parallel: 1 });
    await reportWhen(handle, ({ there, wait }) => there === 'moving' && wait === 'moved');
    await stage.go(host, 'there');
    expect(statesOf(await resultOf(handle))).toEqual({ there: 'moved', wait: 'moved' });
  });

  it('leaves a VM that somebody else moves, and gives back the room that it was promised', async () => {
    const host = await stage.host(new DrainedHost('a17', { hold: 'running' }));
    await stage.beginMove(host, 'hold');
    const report = await resultOf(await stage.drain(host));
    const id = 'migrate/c/a17-hold';
    expect(report.vms).toMatchObject([
      { state: 'left', why: expect.stringContaining(id) as string },
    ]);
    expect(stage.released.filter(({ moveId }) => moveId === id)).toEqual([
      { cluster: 'c', moveId: id, hosts: ['beta'], unstarted: true },
    ]);
    await stage.go(host, 'hold');
  });

  it('says of a VM that no host takes why, and tries again by word what was left', async () => {
    const host = await stage.host(
      new DrainedHost('a4', { hold: 'running', never: 'running', wait: 'running' }),
    );
    host.refused.add('wait');
    const handle = await stage.drain(host, { parallel: 3 });
    await reportWhen(handle, ({ never }) => never === 'left');
    await handle.signal(signalNames.drainAgain, { operator: 'ada' });
    const triesOf = (vm: string) => host.placed.filter((one) => one.vm.name === vm).length;
    await reportWhen(handle, ({ never }) => never === 'left' && triesOf('never') === 2);
    await stage.go(host, 'hold');
    const { vms } = await resultOf(handle);
    expect(vms).toMatchObject([
      { name: 'hold', state: 'moved' },
      { name: 'never', state: 'left' },
      { name: 'wait', state: 'failed', why: 'no host takes it: beta is ruled out: it is full' },
    ]);
  });

  it('leaves out of each move the checks that it was told to', async () => {
    const host = await stage.host(new DrainedHost('a9', { strict: 'running' }));
    const left = await resultOf(await stage.drain(host));
    expect(left.vms).toMatchObject([{ name: 'strict', state: 'left' }]);
    const moved = await resultOf(await stage.drain(host, { skip: ['kernel'] }));
    expect(moved.vms).toMatchObject([{ name: 'strict', state: 'moved' }]);
  });

  it('that is cancelled calls its moves back, and keeps those that got through', async () => {
    const host = await stage.host(
      new DrainedHost('a5', { hold: 'running', later: 'running', auto: 'running' }),
    );
    const handle = await stage.drain(host, { parallel: 2, autoCommit: true });
    await reportWhen(handle, ({ hold, auto }) => hold === 'moving' && auto === 'moved');
    host.vms.delete('auto');
    await handle.signal(signalNames.cancelling, { operator: 'bob' });
    await handle.cancel();
    const report = await resultOf(handle);
    expect(report).toMatchObject({ phase: 'cancelled', cancelledBy: 'bob' });
    expect(statesOf(report)).toMatchObject({ auto: 'moved', hold: 'left' });
    expect((await stage.move(host, 'hold').describe()).status.name).toBe('CANCELLED');
  });

  it('goes on in a new run before its history grows long, and forgets nothing', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `wait${at + 10}`);
    const vms = Object.fromEntries(names.map((name) => [name, 'shut-off' as const]));
    const host = await stage.host(new DrainedHost('a7', vms));
    const handle = await stage.drain(host, { parallel: 3 });
    const report = await resultOf(handle);
    expect(report.vms.map(({ name, state }) => `${name} ${state}`)).toEqual(
      names.map((name) => `${name} moved`),
    );
    const last = stage.environment.client.workflow.getHandle(handle.workflowId);
    const { runId } = await last.describe();
    expect(runId).not.toBe(handle.firstExecutionRunId);
    // The host was marked once, by the first run.
    expect(host.orders).toHaveLength(1);
    const first = stage.environment.client.workflow.getHandle(
      handle.workflowId,
      handle.firstExecutionRunId,
    );
    expect((await first.describe()).historyLength).toBeLessThan(400);
  });

  it('places VMs whose places come out of order', async () => {
    const host = await stage.host(
      new DrainedHost('a6', { wait1: 'running', wait2: 'running', wait3: 'running' }),
    );
    host.placeMs.set('wait1', 90).set('wait2', 60).set('wait3', 30);
    const report = await resultOf(await stage.drain(host, { parallel: 3 }));
    expect(report.vms.map(({ name, state }) => `${name} ${state}`)).toEqual([
      ...['wait1 moved', 'wait2 moved', 'wait3 moved'],
    ]);
  });

  // Last of all: it looks at what the others left.
  it('goes on wherever its worker died: each history leads through the same steps again', async () => {
    // A server lists what it ran after a moment.
    await vi.waitFor(async () => expect((await stage.drains()).length).toBeGreaterThanOrEqual(14), {
      timeout: 20_000,
      interval: 100,
    });
    await stage.replayDrains();
  });
});
