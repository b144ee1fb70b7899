/**
 * Every fault at every verb: the real workflow and the real activities on real ledgers, over hypervisors and disks in
 * memory, in virtual time. test/lab/faults does the like with real processes.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeFaults, expectEnd, moved } from './table.ts';

vi.mock('@temporalio/workflow', async () => (await import('./engine.ts')).workflowModule);
vi.mock('@temporalio/activity', async () => (await import('./activity-context.ts')).activityModule);
vi.mock('../../../guard/lock.ts', () => import('./memory-lock.ts'));
vi.mock('../../../guard/durable.ts', async (actual) =>
  (await import('./durable-steps.ts')).withSteps(await actual()),
);
vi.mock('../../../transfer/journal-file.ts', async (actual) =>
  (await import('./durable-steps.ts')).closedByDeath(await actual()),
);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('without a fault a running VM moves, verified, with all that belongs to it', async () => {
  const { report, parkedIn } = await expectEnd({}, moved);
  expect(report.steps.map(({ state }) => state)).toEqual(report.steps.map(() => 'done'));
  expect(parkedIn).toEqual([]);
});

describe('a move that copies its disk', () => describeFaults({ shared: false }));
