import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import type {
  ReleaseMoveInput,
  ReserveMoveAnswer,
  ReserveMoveInput,
} from '../../../activities/control/contract.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import { queryNames, signalNames, updateNames } from '../../../workflows/contract.ts';
import type { HostLimitsNews } from '../../../workflows/contract.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { FakeWorld } from '../../quick/workflows/fake-hosts.ts';
import { MoveBench } from '../../quick/workflows/move-bench.ts';
import { request } from '../../quick/workflows/move-request.ts';

const limits = { movesIn: 4, movesOut: 2, upBytesPerSecond: 1000, downBytesPerSecond: 800 };
const granted: ReserveMoveAnswer = { granted: true, source: { limits }, target: { limits } };
const refused = (code: string, handling: 'transient' | 'permanent'): ReserveMoveAnswer => ({
  granted: false,
  fault: { code, handling, message: `beta: ${code}`, remedy: 'r', host: 'beta' },
});

/** What the hosts answer, by move, one after the other; the last one stays. `waits` hold until the move is cancelled. */
const answers = new Map<string, (ReserveMoveAnswer | 'waits')[]>();
/** How long an answer takes, ms, by move; and in which order answers and releases came. */
const slow = new Map<string, number>();
const events: string[] = [];
const asked: ReserveMoveInput[] = [];
const released: ReleaseMoveInput[] = [];

let bench: MoveBench;
beforeAll(async () => {
  bench = await MoveBench.open({
    reserveMove: async (input) => {
      asked.push(input);
      const [next = granted, ...later] = answers.get(input.move.moveId) ?? [];
      if (later.length > 0) answers.set(input.move.moveId, later);
      const ms = slow.get(input.move.moveId);
      if (ms !== undefined) {
        await delay(ms);
        events.push('granted');
      }
      if (next !== 'waits') return next;
      const { cancelled, heartbeat } = Context.current();
      const beat = setInterval(() => heartbeat(), 100);
      return await cancelled.finally(() => clearInterval(beat));
    },
    releaseMove: (input) => {
      released.push(input);
      if (slow.has(input.moveId)) events.push('released');
      return Promise.resolve();
    },
  });
}, 120_000);
afterAll(() => bench.close(), 30_000);

const script = (handle: WorkflowHandle, ...next: (ReserveMoveAnswer | 'waits')[]) =>
  answers.set(handle.workflowId, next);

describe('a move and its places', () => {
  it('waits for them, says for which host, and gives them back', async () => {
    const world = new FakeWorld({ running: true });
    let id = '';
    const report = await bench.run(world, request(), (handle) => {
      id = handle.workflowId;
      script(handle, refused('host-refused', 'transient'), granted);
      return Promise.resolve();
    });
    expect(report.phase).toBe('committed');
    expect(report.notes).toContain('beta: host-refused');
    const [first, second] = asked.filter(({ move }) => move.moveId === id);
    expect(first).toMatchObject({ source: 'alpha', target: 'beta', move: { workflowId: id } });
    expect(first?.waitMs).toBeUndefined();
    expect(second?.waitMs).toBeGreaterThan(0);
    expect(released).toContainEqual({
      cluster: 'default',
      moveId: id,
      hosts: ['alpha', 'beta'],
      arrivedOn: 'beta',
    });
  }, 120_000);

  it.each([
    ['cold', {}, 500],
    ['live', { live: defaultLiveWishes }, 200],
    ['slower by its own word', { live: defaultLiveWishes, bandwidthBytesPerSecond: 7 }, 7],
  ])("holds to its share of the other host's cap: %s", async (_words, changes, cap) => {
    const world = new FakeWorld({ running: true });
    expect((await bench.run(world, request(changes))).phase).toBe('committed');
    expect(world.caps).toEqual([cap]);
  });

  it('follows its share while it runs, and no word of a person lifts it over that', async () => {
    const world = new FakeWorld({ running: true });
    world.liveRuns.push('waits');
    const told = async (count: number) => {
      while (world.tuned.length < count) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    const report = await bench.run(world, request({ live: defaultLiveWishes }), async (handle) => {
      while (!world.liveWaits) await new Promise((resolve) => setTimeout(resolve, 10));
      const hears = (host: string, changes: Partial<HostLimitsNews['limits']>) => {
        const news: HostLimitsNews = { host, limits: { ...limits, ...changes } };
        return handle.signal(signalNames.hostLimits, news);
      };
      await hears('beta', { downBytesPerSecond: 400 });
      await told(1);
      // The source shares what leaves it itself.
      await hears('alpha', { upBytesPerSecond: 4 });
      const order = { operator: 'ann', bandwidthBytesPerSecond: 0 };
      await handle.executeUpdate(updateNames.tune, { args: [order] });
      await hears('beta', { downBytesPerSecond: 400, movesIn: 2 });
      await told(3);
      await handle.cancel();
    });
    const caps = world.tuned.map((one) => one as { bandwidthBytesPerSecond: number });
    expect(caps.map(({ bandwidthBytesPerSecond: cap }) => cap)).toEqual([100, 100, 200]);
    expect(report.notes).toContain(
      'the limits of beta were changed: at most 100 bytes a second from here on',
    );
  }, 60_000);

  it('ends with nothing touched where no waiting helps', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(world, request(), (handle) => {
      script(handle, refused('host-disabled', 'permanent'));
      return Promise.resolve();
    });
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'host-disabled' } });
    expect(world.alpha.running).toBe(true);
    expect(world.log.join()).not.toContain('reserveTarget');
  }, 120_000);

  it('can be cancelled while it waits, and holds nothing then', async () => {
    const world = new FakeWorld({ running: true });
    let id = '';
    const report = await bench.run(world, request(), async (handle) => {
      id = handle.workflowId;
      script(handle, refused('host-refused', 'transient'), 'waits');
      const notes = async () => (await handle.query<MoveReport>(queryNames.report)).notes;
      while (!(await notes()).includes('beta: host-refused'))
        await new Promise((resolve) => setTimeout(resolve, 50));
      await handle.cancel();
    });
    expect(report.phase).toBe('cancelled');
    expect(world.alpha.running).toBe(true);
    expect(released.some(({ moveId, arrivedOn }) => moveId === id && arrivedOn === undefined)).toBe(
      true,
    );
  }, 120_000);
});

describe('a move that is called off while it asks for its places', () => {
  it('gives them back after it has them, not before', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(world, request(), async (handle) => {
      const id = handle.workflowId;
      slow.set(id, 1_000);
      while (!asked.some(({ move }) => move.moveId === id)) await delay(20);
      await handle.cancel();
    });
    expect(report.phase).toBe('cancelled');
    expect(events[0]).toBe('granted');
    expect(events.at(-1)).toBe('released');
  });
});

describe('a move that was begun ahead', () => {
  const isHeld = async (handle: WorkflowHandle): Promise<void> => {
    for (;;) {
      const { notes } = await handle.query<MoveReport>(queryNames.report);
      if (notes.some((text) => text.includes('as soon as others have left alpha'))) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const expectUntouched = (world: FakeWorld): void => {
    expect(world.alpha).toMatchObject({ running: true, defined: true });
    expect(world.beta).toMatchObject({ running: false, defined: false });
    expect(world.log).toContain('beta clearTarget');
    expect(released.at(-1)?.hosts).toEqual(['alpha', 'beta']);
  };
  const placesOf = (id: string) => asked.filter(({ move }) => move.moveId === id).length;

  it('is looked into, takes no place and touches nothing until it may go', async () => {
    const world = new FakeWorld({ running: true });
    let atRest: string[] = [];
    const report = await bench.run(
      world,
      request(),
      async (handle) => {
        await isHeld(handle);
        atRest = [...world.log];
        expect(placesOf(handle.workflowId)).toBe(0);
        await handle.signal(signalNames.mayGo);
      },
      { heldForMs: 3_600_000 },
    );
    expect(report.phase).toBe('committed');
    expect(atRest.join(' ')).toContain('checkTarget');
    expect(atRest.join(' ')).not.toMatch(/reserveTarget|guardSource/);
  });

  it('goes at once where its turn comes before it has been looked into', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(world, request(), (handle) => handle.signal(signalNames.mayGo), {
      heldForMs: 3_600_000,
    });
    expect(report.phase).toBe('committed');
  });

  it('is called off with nothing left anywhere', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(
      world,
      request(),
      async (handle) => {
        await isHeld(handle);
        await handle.cancel();
      },
      { heldForMs: 3_600_000 },
    );
    expect(report.phase).toBe('cancelled');
    expectUntouched(world);
  });

  it('ends with nothing left anywhere where nobody says a word for too long', async () => {
    const world = new FakeWorld({ running: true });
    const report = await bench.run(world, request(), isHeld, { heldForMs: 300 });
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'turn-not-come' } });
    expectUntouched(world);
  });
});
