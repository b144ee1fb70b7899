import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { place } from '../../../activities/control/place.ts';
import { releaseMove, reserveMove } from '../../../activities/control/reserve-move.ts';
import type { ReserveMoveInput } from '../../../activities/control/contract.ts';
import type { SlotWish } from '../../../domain/hosts/slots.ts';
import { controlQueue, hostId, moveId, signalNames } from '../../../workflows/contract.ts';
import { reservationOf } from '../../../domain/placement/reserve.ts';
import { gibibyte, vm } from '../placement/fleets.ts';
import { reading } from '../hosts/readings.ts';
import { HostBench } from './host-bench.ts';

let bench: HostBench;
beforeAll(async () => {
  bench = await HostBench.open();
}, 120_000);
afterAll(() => bench.close(), 30_000);

const wish = (moveId: string, changes: Partial<SlotWish> = {}): SlotWish => ({
  direction: 'in',
  moveId,
  workflowId: moveId,
  vm: vm(),
  by: 'placed',
  ...changes,
});

const asked = (moveId: string, source: string, target: string): ReserveMoveInput => ({
  cluster: bench.cluster,
  move: { moveId, workflowId: moveId },
  source,
  target,
  vm: vm(),
});

/** Lists come from the visibility store, which is a moment behind. */
const eventually = (check: () => Promise<void>) =>
  vi.waitFor(check, { timeout: 45_000, interval: 50 });

describe.concurrent('the entity of a host', () => {
  it('remembers what people set, with who did, and refuses what makes no sense', async () => {
    await bench.announce('one', reading());
    const order = { operator: 'eve', labels: { disk: 'nvme' }, limits: { movesIn: 5 } };
    const state = await bench.directory.set('one', order);
    expect(state.settings).toMatchObject({
      labels: { disk: 'nvme' },
      limits: { movesIn: 5, movesOut: 2 },
    });
    expect(state.changed?.operator).toBe('eve');
    await expect(
      bench.directory.set('one', { operator: 'eve', limits: { movesIn: -1 } }),
    ).rejects.toMatchObject({ code: 'host-change-refused', message: /moves in/ });
    await expect(bench.directory.set('nobody', order)).rejects.toMatchObject({
      code: 'host-unknown',
    });
    await eventually(async () => {
      expect((await bench.directory.host('one')).state?.settings).toEqual(state.settings);
    });
  }, 120_000);

  it('promises no more than its limit, the same move once, and a place again once it is given back', async () => {
    await bench.announce('two', reading());
    const { fleet } = bench;
    for (const id of ['a', 'b', 'a'])
      expect(await fleet.reserve('two', wish(id))).toMatchObject({ granted: true });
    expect((await fleet.state('two'))?.movesIn).toHaveLength(2);
    const refused = await fleet.reserve('two', wish('c'));
    expect(refused).toMatchObject({
      granted: false,
      final: false,
      refusals: [{ filter: 'move-limit' }],
      holders: [{ moveId: 'a' }, { moveId: 'b' }],
    });
    const before = await bench.client.workflow.getHandle(hostId(bench.cluster, 'two')).describe();
    await fleet.reserve('two', wish('c'));
    const after = await bench.client.workflow.getHandle(hostId(bench.cluster, 'two')).describe();
    expect(after.historyLength, 'a refusal leaves no event').toBe(before.historyLength);
    await fleet.release('two', { moveId: 'a', arrived: false });
    expect(await fleet.reserve('two', wish('c'))).toMatchObject({ granted: true });
  }, 120_000);

  it('keeps the room of a VM that arrived promised until the facts show it', async () => {
    await bench.announce('three', reading({ freeMemoryBytes: 10 * gibibyte }));
    const { fleet } = bench;
    const big = vm({ memoryBytes: 6 * gibibyte });
    await fleet.reserve('three', wish('a', { vm: big }));
    await fleet.release('three', { moveId: 'a', arrived: true });
    expect(await fleet.reserve('three', wish('b', { vm: big }))).toMatchObject({
      granted: false,
      refusals: [{ filter: 'memory' }],
    });
    await bench.announce('three', reading({ freeMemoryBytes: 9 * gibibyte }));
    await eventually(async () => {
      const answer = await fleet.reserve('three', wish('b', { vm: big }));
      expect(answer).toMatchObject({ granted: true });
    });
  }, 120_000);

  it('hands a cap to its worker at once', async () => {
    const told = await bench.serve('four');
    await bench.announce('four', reading());
    await bench.directory.set('four', { operator: 'eve', limits: { downBytesPerSecond: 1000 } });
    const inForce = { upBytesPerSecond: 0, downBytesPerSecond: 1000 };
    await eventually(async () => {
      expect((await bench.fleet.state('four'))?.bandwidth).toEqual(inForce);
    });
    expect(told).toEqual([{ downBytesPerSecond: 1000 }]);
  }, 120_000);

  it('tells the moves that have a place there what it takes now, and nobody twice', async () => {
    const { client, cluster, directory, fleet } = bench;
    const heard = { upBytesPerSecond: 7, downBytesPerSecond: 9 };
    await bench.announce('thirteen', reading({ bandwidth: heard }));
    // A workflow that only listens: its history keeps what it was told.
    const id = moveId(cluster, 'listener');
    const listener = await client.workflow.start('place', {
      workflowId: id,
      taskQueue: 'nobody',
    });
    expect(await fleet.reserve('thirteen', wish(id))).toMatchObject({
      settings: { limits: heard },
    });
    await fleet.reserve('thirteen', wish('import/somewhere'));
    const told = async () =>
      ((await listener.fetchHistory()).events ?? [])
        .map((event) => event.workflowExecutionSignaledEventAttributes)
        .filter((signal) => signal?.signalName === signalNames.hostLimits)
        .map((signal) => JSON.parse(String(signal?.input?.payloads?.[0]?.data)) as unknown);
    const set = (limits: object) => directory.set('thirteen', { operator: 'eve', limits });
    try {
      await set({ downBytesPerSecond: 1000 });
      await set({ downBytesPerSecond: 1000 });
      await set({ movesIn: 5 });
      const base = { movesIn: 2, movesOut: 2, upBytesPerSecond: 7, downBytesPerSecond: 1000 };
      await eventually(async () => {
        expect(await told()).toEqual([
          { host: 'thirteen', limits: base },
          { host: 'thirteen', limits: { ...base, movesIn: 5 } },
        ]);
      });
    } finally {
      await listener.terminate();
    }
  }, 120_000);

  it('goes on in a new run with all that it knew', async () => {
    await bench.announce('five', reading());
    await bench.fleet.reserve('five', wish('kept'));
    const handle = bench.client.workflow.getHandle(hostId(bench.cluster, 'five'));
    const { runId } = await handle.describe();
    for (let at = 0; at < 500; at += 50)
      await Promise.all(Array.from({ length: 50 }, () => handle.signal('reading', reading())));
    await eventually(async () => {
      expect((await handle.describe()).runId).not.toBe(runId);
    });
    await handle.signal('reading', reading({ vms: 99 }));
    await eventually(async () => {
      expect((await bench.fleet.state('five'))?.reading?.vms).toBe(99);
    });
    expect((await bench.fleet.state('five'))?.movesIn).toMatchObject([{ moveId: 'kept' }]);
  }, 120_000);
});

describe.concurrent('places of a move', () => {
  it('are taken on both hosts or on none', async () => {
    await Promise.all([bench.announce('six', reading()), bench.announce('seven', reading())]);
    const { fleet } = bench;
    await fleet.set('seven', { operator: 'eve', limits: { movesIn: 0 } });
    expect(await reserveMove(fleet, asked('m', 'six', 'seven'))).toMatchObject({
      granted: false,
      fault: { code: 'host-refused', handling: 'transient', host: 'seven' },
    });
    expect((await fleet.state('six'))?.movesOut ?? []).toEqual([]);
    await fleet.set('seven', { operator: 'eve', limits: { movesIn: 1 }, enabled: false });
    expect(await reserveMove(fleet, asked('m', 'six', 'seven'))).toMatchObject({
      granted: false,
      fault: { code: 'host-disabled', handling: 'permanent' },
    });
    await fleet.set('seven', { operator: 'eve', enabled: true });
    expect(await reserveMove(fleet, asked('m', 'six', 'seven'))).toMatchObject({ granted: true });
    await releaseMove(fleet, { cluster: bench.cluster, moveId: 'm', hosts: ['six', 'seven'] });
    expect((await fleet.state('six'))?.movesOut).toEqual([]);
    expect((await fleet.state('seven'))?.movesIn).toEqual([]);
  }, 120_000);

  it('into a target that placement took for the move stay taken, and none is asked for twice', async () => {
    await Promise.all([
      bench.announce('placed-from', reading()),
      bench.announce('placed-to', reading()),
    ]);
    const { fleet } = bench;
    const { move, vm } = asked('p', 'placed-from', 'placed-to');
    await fleet.reserve('placed-to', { ...move, direction: 'in', vm, by: 'placed' });
    const before = (await fleet.state('placed-to'))?.movesIn;
    expect(await reserveMove(fleet, asked('p', 'placed-from', 'placed-to'))).toMatchObject({
      granted: true,
      target: { limits: { movesIn: 2 } },
    });
    expect((await fleet.state('placed-to'))?.movesIn).toEqual(before);
    expect((await fleet.state('placed-from'))?.movesOut).toMatchObject([{ moveId: 'p' }]);
    await releaseMove(fleet, {
      cluster: bench.cluster,
      moveId: 'p',
      hosts: ['placed-from', 'placed-to'],
    });
    expect((await fleet.state('placed-to'))?.movesIn).toEqual([]);
  }, 120_000);

  it('into the target alone are taken by a VM that comes from elsewhere, among the moves there', async () => {
    await Promise.all([bench.announce('twelve', reading()), bench.announce('far', reading())]);
    const { fleet } = bench;
    await fleet.set('twelve', { operator: 'eve', limits: { movesIn: 1 } });
    const { source: _, ...brought } = asked('import', 'far', 'twelve');
    const answer = await reserveMove(fleet, brought);
    expect(answer).toMatchObject({ granted: true, target: { limits: { movesIn: 1 } } });
    expect(answer).not.toHaveProperty('source');
    expect(await reserveMove(fleet, asked('move', 'far', 'twelve'))).toMatchObject({
      granted: false,
      fault: { code: 'host-refused', host: 'twelve' },
    });
    expect((await fleet.state('far'))?.movesOut ?? []).toEqual([]);
    await releaseMove(fleet, { cluster: bench.cluster, moveId: 'import', hosts: ['twelve'] });
    expect(await reserveMove(fleet, asked('move', 'far', 'twelve'))).toMatchObject({
      granted: true,
    });
  }, 120_000);

  it('of a move that is over are given to the next', async () => {
    await Promise.all([bench.announce('eight', reading()), bench.announce('nine', reading())]);
    const { fleet } = bench;
    await fleet.set('nine', { operator: 'eve', limits: { movesIn: 1 } });
    const leaky = await bench.client.workflow.start('listVms', {
      workflowId: `leaky-${bench.cluster}`,
      taskQueue: controlQueue,
      args: [{ hosts: [] }],
    });
    const move = {
      moveId: 'leaked',
      workflowId: leaky.workflowId,
      runId: leaky.firstExecutionRunId,
    };
    await reserveMove(fleet, { ...asked('leaked', 'eight', 'nine'), move });
    await leaky.result();
    expect(await reserveMove(fleet, asked('next', 'eight', 'nine'))).toMatchObject({
      granted: true,
    });
    expect((await fleet.state('nine'))?.movesIn).toMatchObject([{ moveId: 'next' }]);
  }, 120_000);

  it('are waited for as long as the caller says', async () => {
    await Promise.all([bench.announce('ten', reading()), bench.announce('eleven', reading())]);
    const { fleet } = bench;
    await fleet.set('ten', { operator: 'eve', limits: { movesOut: 0 } });
    const answer = reserveMove(
      fleet,
      { ...asked('w', 'ten', 'eleven'), waitMs: 30_000 },
      { pauseMs: 50 },
    );
    await fleet.set('ten', { operator: 'eve', limits: { movesOut: 1 } });
    expect(await answer).toMatchObject({ granted: true });
  }, 120_000);
});

describe('placing by what the entities know', () => {
  it('reserves on the best host that is online, and says why the others were not it', async () => {
    await bench.serve('near');
    await bench.serve('full');
    await bench.announce('near', reading({ hostUuid: 'near', runningVms: 2 }));
    await bench.announce('full', reading({ hostUuid: 'full', runningVms: 0, freeMemoryBytes: 0 }));
    await bench.announce('away', reading({ hostUuid: 'away', runningVms: 0 }));
    await bench.announce('silent');
    const names = ['near', 'full', 'away', 'silent'];
    await eventually(async () => {
      const known = await bench.fleet.hosts();
      const told = known.filter(({ state }) => state?.reading !== undefined);
      expect(known.map(({ name }) => name)).toContain('silent');
      expect(told.map(({ name }) => name)).toEqual(
        expect.arrayContaining(names.filter((name) => name !== 'silent')),
      );
    });
    const others = (await bench.fleet.hosts()).filter(({ name }) => !names.includes(name));
    const asked = {
      cluster: bench.cluster,
      vm: vm(),
      wishes: {},
      exclude: others.map(({ name }) => name),
    };
    const reservation = { ...reservationOf(vm(), 'planned'), memoryBytes: 31 * gibibyte };
    const promised = [{ host: 'near', reservation }];
    const planned = await place(bench.fleet, {
      ...asked,
      supposed: { draining: 'far', promised },
    });
    expect(planned.chosen).toBeUndefined();
    expect(planned.rows.find((row) => row.host === 'near')?.why).toContain('memory');
    const answer = await place(bench.fleet, {
      ...asked,
      move: { moveId: 'p', workflowId: 'p' },
    });
    expect(answer.chosen).toBe('near');
    expect((await bench.fleet.state('near'))?.movesIn).toMatchObject([{ moveId: 'p' }]);
    const why = Object.fromEntries(answer.rows.map((row) => [row.host, row.why]));
    expect(why['away']).toContain('no worker of away is online');
    expect(why['silent']).toContain('told no facts');
    expect(why['full']).toContain('memory');
  }, 120_000);
});
