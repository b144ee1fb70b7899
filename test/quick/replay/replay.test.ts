import { readdir, readFile } from 'node:fs/promises';
import proto from '@temporalio/proto';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { WorkflowBundleOption } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from 'vitest';
import { currentBundle } from '../../../workers/build-bundle.ts';

const folder = new URL('histories/', import.meta.url);
const names = (await readdir(folder)).filter((name) => name.endsWith('.history'));

let workflowBundle: WorkflowBundleOption;
beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  workflowBundle = { code: await currentBundle() };
}, 60_000);

const { History } = proto.temporal.api.history.v1;
const read = async (name: string) => History.decode(await readFile(new URL(name, folder)));

describe('moves that began under an older version', () => {
  it('has a history of each way that a move can go', () => {
    expect(names.length).toBeGreaterThanOrEqual(7);
  });

  it.each(names)('%s goes on as it began', async (name) => {
    await Worker.runReplayHistory({ workflowBundle }, await read(name), 'migrate/default/replay');
  });

  it('refuses a history in which the workflow took another step', async () => {
    const history = await read('committed.history');
    const scheduled = history.events.find(
      ({ activityTaskScheduledEventAttributes: it }) => it?.activityType?.name === 'checkTarget',
    );
    const type = scheduled?.activityTaskScheduledEventAttributes?.activityType;
    if (type === null || type === undefined) throw new Error('no such step in the history');
    type.name = 'guardSource';
    await expect(
      Worker.runReplayHistory({ workflowBundle }, history, 'migrate/default/other'),
    ).rejects.toThrow(/determinism/i);
  });
});
