/**
 * A process may die, freeze or be told to end between any two of its steps: each call of the hypervisor and the data
 * plane, before it acts and before its answer is heard, and each durable write.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { allVerbs, play, undoVerbs } from '../../quick/faults/play.ts';
import { expectEnd, moved, undone } from '../../quick/faults/table.ts';
import type { HostName, Strike, Verb } from '../../quick/faults/stage.ts';

vi.mock(
  '@temporalio/workflow',
  async () => (await import('../../quick/faults/engine.ts')).workflowModule,
);
vi.mock(
  '@temporalio/activity',
  async () => (await import('../../quick/faults/activity-context.ts')).activityModule,
);
vi.mock('../../../guard/lock.ts', () => import('../../quick/faults/memory-lock.ts'));
vi.mock('../../../guard/durable.ts', async (actual) =>
  (await import('../../quick/faults/durable-steps.ts')).withSteps(await actual()),
);
vi.mock('../../../transfer/journal-file.ts', async (actual) =>
  (await import('../../quick/faults/durable-steps.ts')).closedByDeath(await actual()),
);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** More than any verb has: a strike at a step that never comes would try nothing, so the counts are taken first. */
const undoing: Strike[] = [
  { host: 'beta', verb: 'ensureHealthy', how: 'fails', when: 'before', handling: 'permanent' },
];
const forward = await play({});
const backward = await play({ strikes: structuredClone(undoing) });

const stepsOf = (steps: Map<string, number>, verbs: [HostName, Verb][]) =>
  verbs.flatMap(([host, verb]) =>
    Array.from({ length: steps.get(`${host} ${verb}`) ?? 0 }, (_, index) => ({
      host,
      verb,
      at: index + 1,
    })),
  );

it('counts the steps of every verb', () => {
  const counts = allVerbs.map(([host, verb]) => forward.steps.get(`${host} ${verb}`) ?? 0);
  expect(Math.min(...counts)).toBeGreaterThan(0);
  expect(counts.reduce((sum, one) => sum + one)).toBeGreaterThan(100);
});

describe.each(stepsOf(forward.steps, allVerbs))('$host $verb, step $at', ({ host, verb, at }) => {
  it('dies: the next process goes on', async () => {
    await expectEnd({ strikes: [{ host, verb, how: 'dies', at }] }, moved);
  });

  it('freezes, is taken for dead, and thaws: the two do not harm each other', async () => {
    await expectEnd({ strikes: [{ host, verb, how: 'freezes', at }] }, moved);
  });

  it('is cancelled: the VM runs once, where the report says', async () => {
    const strike: Strike = { host, verb, how: 'cancelled', at };
    const { report } = await expectEnd({ strikes: [strike] }, { vmRunning: true });
    expect(['cancelled', 'committed']).toContain(report.phase);
  });
});

describe.each(stepsOf(backward.steps, undoVerbs))(
  'undo: $host $verb, step $at',
  ({ host, verb, at }) => {
    it.each(['dies', 'freezes'] as const)('%s: the source runs again, alone', async (how) => {
      const strikes: Strike[] = [...structuredClone(undoing), { host, verb, how, at }];
      await expectEnd({ strikes }, { ...undone, phase: 'failed' });
    });
  },
);
