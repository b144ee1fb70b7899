/** The fault table of test/quick/faults for a disk that both hosts see. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeFaults, expectEnd, moved } from '../../quick/faults/table.ts';

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

it('on shared storage nothing is copied and nothing deleted', async () => {
  const { report } = await expectEnd({ shared: true }, { ...moved, mode: 'shared' });
  expect(report.disks).toMatchObject([{ shared: 'nonce', bytesCopied: 0 }]);
  const skipped = report.steps.filter(({ state }) => state === 'skipped');
  expect(skipped.map(({ name }) => name)).toEqual(['export', 'copy', 'verify']);
});

describe('a move on shared storage', () => describeFaults({ shared: true }));
