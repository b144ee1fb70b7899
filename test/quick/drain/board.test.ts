import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  again,
  began,
  blockedBy,
  blockedPatienceMs,
  elsewhere,
  ended,
  failed,
  failedByTarget,
  givenUp,
  goes,
  goesTo,
  inLineAgain,
  isMoving,
  isUnderWay,
  isWaiting,
  mayGo,
  nextUp,
  told,
  toPrepare,
  seen,
} from '../../../domain/drain/board.ts';
import type { Board } from '../../../domain/drain/board.ts';
import { drainCounts, drainDefaults } from '../../../domain/drain/drain.ts';
import type { DrainRequest } from '../../../domain/drain/drain.ts';
import { wayOf } from '../../../domain/drain/way.ts';
import type { Fault } from '../../../domain/errors.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';

const now = '2026-03-04T10:00:00.000Z';
const at = { host: 'alpha', now };
const request = (changes: Partial<DrainRequest> = {}): DrainRequest => ({
  ...drainDefaults('ada'),
  ...changes,
});
const vm = (name: string, ownership?: string) => ({
  uuid: `u-${name}`,
  name,
  ...(ownership === undefined ? {} : { ownership }),
});
const fault = (handling: Fault['handling']): Fault => ({
  ...{ code: 'c', handling, message: 'it has a device of its host', remedy: 'r' },
});
const statesOf = (board: Board) =>
  Object.fromEntries(board.map(({ name, state }) => [name, state]));
const begun = (board: Board, name: string, ahead: boolean): Board => {
  const uuid = `u-${name}`;
  return goesTo(began(board, uuid, { ahead }), uuid, { to: 'beta', moveId: `m-${name}` });
};
const moving = (board: Board, name: string): Board => begun(board, name, false);

describe('what the host tells of its VMs', () => {
  it('takes them up by the word of its guard', () => {
    const board = seen(
      [],
      [
        vm('fresh'),
        vm('owned', 'owner'),
        vm('away', 'released'),
        vm('coming', 'incoming'),
        vm('locked', 'quarantined'),
      ],
      at,
    );
    expect(statesOf(board)).toEqual({
      ...{ fresh: 'waiting', owned: 'waiting', away: 'moved' },
      ...{ coming: 'waiting', locked: 'left' },
    });
    expect(nextUp(board, 9, 0).map(({ name }) => name)).toEqual(['fresh', 'owned']);
    const arrived = seen(board, [vm('coming', 'owner')], at);
    expect(nextUp(arrived, 9, 0).map(({ name }) => name)).toEqual(['coming']);
  });

  it('adds those that came up since, and drops those that went before anything was begun', () => {
    const first = moving(seen([], [vm('a'), vm('b'), vm('c')], at), 'b');
    const second = seen(first, [vm('c'), vm('d')], at);
    expect(statesOf(second)).toEqual({ a: 'gone', b: 'moving', c: 'waiting', d: 'waiting' });
    expect(statesOf(seen(second, [vm('a')], at))).toMatchObject({ a: 'waiting', c: 'gone' });
  });
});

describe('what may begin', () => {
  it('is never more than was asked for, whatever happens', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const act = fc.tuple(
      fc.constantFrom(...names),
      fc.constantFrom('end', 'park', 'fail', 'block'),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(act, { maxLength: 40 }),
        (parallel, acts) => {
          let board = seen(
            [],
            names.map((name) => vm(name)),
            at,
          );
          acts.forEach(([name, what], turn) => {
            for (const line of mayGo(board, parallel)) board = goes(board, line.uuid);
            for (const line of nextUp(board, parallel, turn)) board = moving(board, line.name);
            for (const line of toPrepare(board, parallel)) board = begun(board, line.name, true);
            const counts = drainCounts(board);
            expect(counts.moving).toBeLessThanOrEqual(parallel);
            expect(counts.next).toBeLessThanOrEqual(parallel);
            // Nobody waits for a turn while there is a place.
            if (counts.moving < parallel) expect(counts.next).toBe(0);
            const uuid = `u-${name}`;
            if (!isUnderWay(board.find((line) => line.uuid === uuid)!)) return;
            const id = `m-${name}`;
            if (what === 'end')
              board = ended(board, uuid, { phase: 'committed', vmOn: 'beta', mode: 'live' });
            else if (what === 'park') board = told(board, { id, phase: 'parked', mode: 'cold' });
            else if (what === 'fail')
              board = failed(board, uuid, { fault: fault('transient'), request: request() });
            else board = blockedBy(board, uuid, { why: 'full', mayPass: true, now });
          });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('ahead is as many again, none that waits for room, and goes as soon as there is a place', () => {
    let board = seen([], [vm('a'), vm('b'), vm('c'), vm('d')], at);
    board = blockedBy(board, 'u-b', { why: 'no room', mayPass: true, now });
    expect(toPrepare(began(board, 'u-a', { ahead: false }), 1)).toEqual([]);
    board = moving(board, 'a');
    expect(toPrepare(board, 1).map(({ name }) => name)).toEqual(['c']);
    board = begun(board, 'c', true);
    expect(toPrepare(board, 1)).toEqual([]);
    expect(mayGo(board, 1)).toEqual([]);
    expect(statesOf(board)).toEqual({ a: 'moving', b: 'waiting', c: 'next', d: 'waiting' });
    expect(isMoving(board)).toBe(true);
    const there = told(board, { id: 'm-a', phase: 'moving', mode: 'live', arrived: true });
    expect(mayGo(there, 1).map(({ name }) => name)).toEqual(['c']);
    expect(statesOf(goes(there, 'u-c'))).toMatchObject({ c: 'moving' });
  });

  it('ahead and not let go in time is in line again, for any host that it was for before', () => {
    let board = seen([], [vm('a')], at);
    board = elsewhere(begun(board, 'a', true), 'u-a', { ...fault('permanent'), host: 'beta' });
    board = goesTo(began(board, 'u-a', { ahead: true }), 'u-a', { to: 'gamma', moveId: 'm-a' });
    expect(inLineAgain(board, 'u-a')).toEqual([
      { uuid: 'u-a', name: 'a', state: 'waiting', excluded: ['beta'] },
    ]);
  });

  it('ahead and has arrived though nobody let it go counts as any that has arrived', () => {
    const board = begun(seen([], [vm('a')], at), 'a', true);
    const [line] = told(board, { id: 'm-a', phase: 'moving', mode: 'live', arrived: true });
    expect(line).toMatchObject({ state: 'moving', arrived: true });
  });

  it('looks at one of those that wait for room at a time, each in its turn', () => {
    let board = seen([], [vm('a'), vm('b'), vm('c')], at);
    for (const name of ['a', 'b'])
      board = blockedBy(board, `u-${name}`, { why: 'no room', mayPass: true, now });
    expect([0, 1, 2].map((turn) => nextUp(board, 5, turn).map(({ name }) => name))).toEqual([
      ['c', 'a'],
      ['c', 'b'],
      ['c', 'a'],
    ]);
  });
});

describe('a move that', () => {
  const board = moving(seen([], [vm('a')], at), 'a');

  it('awaits its commit has brought its VM away', () => {
    const [line] = told(board, { id: 'm-a', phase: 'awaiting-commit', mode: 'live' });
    expect(line).toMatchObject({ state: 'moved', to: 'beta', awaitsCommit: true, mode: 'live' });
  });

  it('has its guest there makes room for the next, and still has to end', () => {
    const two = seen(board, [vm('a'), vm('b')], at);
    expect(nextUp(two, 1)).toEqual([]);
    const there = told(two, { id: 'm-a', phase: 'moving', mode: 'live', arrived: true });
    expect(nextUp(there, 1).map(({ name }) => name)).toEqual(['b']);
    expect(isMoving(there)).toBe(true);
    const [over] = ended(there, 'u-a', { phase: 'committed', vmOn: 'beta', mode: 'live' });
    expect(over).toEqual({ ...board[0], state: 'moved', mode: 'live' });
  });

  it('is committed awaits nothing any more; one that is rolled back has left its VM', () => {
    const waits = told(board, { id: 'm-a', phase: 'awaiting-commit', mode: 'live' });
    const [kept] = ended(waits, 'u-a', { phase: 'committed', vmOn: 'beta', mode: 'live' });
    expect(kept).toEqual({ ...board[0], state: 'moved', mode: 'live' });
    const [back] = ended(waits, 'u-a', { phase: 'rolled-back', vmOn: 'alpha', mode: 'live' });
    expect(back).toMatchObject({ state: 'left', why: 'its move was rolled back' });
  });

  it('is parked gives its place to the next, and is taken for moved once it is', () => {
    const parked = told(board, {
      id: 'm-a',
      phase: 'parked',
      mode: 'cold',
      fault: fault('needs-operator'),
    });
    expect(parked[0]).toMatchObject({ state: 'parked', why: 'it has a device of its host' });
    expect(isMoving(parked)).toBe(false);
    const [on] = told(parked, { id: 'm-a', phase: 'awaiting-commit', mode: 'cold' });
    expect(on).toMatchObject({ state: 'moved' });
    expect(on).not.toHaveProperty('fault');
  });

  it.each([
    ['leave', 'permanent', 'left'],
    ['leave', 'transient', 'failed'],
    ['leave', 'unsafe', 'failed'],
    ['fail', 'permanent', 'failed'],
    ['cold', 'permanent', 'failed'],
    ['fail', 'cancelled', 'left'],
  ] as const)('fails, by the policy %s and as %s, has %s its VM', (rest, handling, state) => {
    const [line] = failed(board, 'u-a', { fault: fault(handling), request: request({ rest }) });
    expect(line).toMatchObject({ state });
  });

  it('failed is tried again by word', () => {
    const over = failed(board, 'u-a', { fault: fault('unsafe'), request: request() });
    expect(isWaiting(over)).toBe(false);
    expect(again(over)).toEqual([{ uuid: 'u-a', name: 'a', state: 'waiting' }]);
  });
});

describe('a move that fails by its target', () => {
  const start = moving(seen([], [vm('a')], at), 'a');
  const byBeta = { ...fault('permanent'), host: 'beta' };

  it('is tried on another, three times at most', () => {
    let board = start;
    for (const to of ['beta', 'gamma']) {
      const [line] = goesTo(board, 'u-a', { to, moveId: 'm-a' });
      const own = { ...byBeta, host: to };
      expect(failedByTarget(line!, own)).toBe(true);
      board = began(elsewhere([line!], 'u-a', own), 'u-a', { ahead: false });
    }
    const [last] = goesTo(board, 'u-a', { to: 'delta', moveId: 'm-a' });
    expect(last).toMatchObject({ excluded: ['beta', 'gamma'] });
    expect(failedByTarget(last!, { ...byBeta, host: 'delta' })).toBe(false);
  });

  it.each([
    ['of another host', { ...byBeta, host: 'alpha' }],
    ['that is unsafe', { ...byBeta, handling: 'unsafe' }],
  ] as const)('is not one %s', (_, other) => {
    expect(failedByTarget(start[0]!, other)).toBe(false);
  });

  it('leaves the VM, as the policy has it, where no other host takes it', () => {
    const tried = began(elsewhere(start, 'u-a', byBeta), 'u-a', { ahead: false });
    const board = blockedBy(tried, 'u-a', { why: 'no other host', mayPass: false, now });
    const over = givenUp(board, Date.parse(now), request());
    expect(over[0]).toMatchObject({ state: 'left', why: 'no other host', fault: byBeta });
  });
});

describe('a VM that waits', () => {
  const since = Date.parse(now);
  const waiting = (mayPass: boolean) =>
    blockedBy(seen([], [vm('a'), vm('b')], at), 'u-a', { why: 'no host', mayPass, now });

  it('for what no time brings is given up once nothing is under way', () => {
    expect(statesOf(givenUp(moving(waiting(false), 'b'), since, request()))).toMatchObject({
      a: 'waiting',
    });
    expect(givenUp(waiting(false), since, request())[0]).toMatchObject({
      state: 'failed',
      why: 'no host',
    });
  });

  it('for what may pass is given up after ten minutes', () => {
    const board = waiting(true);
    expect(givenUp(board, since + blockedPatienceMs - 1, request())).toEqual(board);
    expect(statesOf(givenUp(board, since + blockedPatienceMs, request()))).toEqual({
      a: 'failed',
      b: 'waiting',
    });
  });
});

describe('the way that a VM leaves by', () => {
  it.each([
    ['running', {}, { live: { ...defaultLiveWishes, fallback: 'none' } }],
    ['running', { rest: 'cold' }, { live: { ...defaultLiveWishes, fallback: 'cold' } }],
    ['running', { running: 'cold' }, {}],
    ['shut-off', {}, {}],
    ['shut-off', { off: 'leave' }, { leave: 'it is off, and only VMs that run are moved' }],
  ] as const)('%s, asked for %j', (state, changes, way) => {
    expect(wayOf(state, request(changes))).toEqual(way);
  });
});
