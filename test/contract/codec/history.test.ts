import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import { startCodecServer } from '../../../workers/codec-server.ts';
import { EncryptionCodec, dataConverter } from '../../../client/payload-codec.ts';

const run = promisify(execFile);
const { EventType } = temporal.api.enums.v1;
const secret = 'swordfish-4711';
const keys = { keys: [{ id: 'k1', key: randomBytes(32) }], active: 'k1' };
const taskQueue = 'codec';
let server: TestWorkflowEnvironment;
let client: Client;
let worker: Worker;
let running: Promise<void>;

beforeAll(async () => {
  Runtime.install({
    logger: { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  const executable = { type: 'existing-path' as const, path: findTemporalCli().path };
  server = await TestWorkflowEnvironment.createLocal({ server: { executable } });
  client = new Client({ connection: server.connection, dataConverter: dataConverter(keys) });
  worker = await Worker.create({
    connection: server.nativeConnection,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
    dataConverter: dataConverter(keys),
    activities: {
      fail: (value: string) => {
        throw ApplicationFailure.nonRetryable(`activity failed with ${value}`, 'Leaky', value);
      },
    },
  });
  running = worker.run();
});

afterAll(async () => {
  worker.shutdown();
  await running;
  await server.teardown();
});

function quiet(): void {
  // The workers' warnings about the failures that these tests cause on purpose would bury the results.
}

describe('with the codec, a real server', () => {
  it('holds no plain text of inputs, results or failures in history, and the client reads them all', async () => {
    const handle = await client.workflow.start('leaky', {
      taskQueue,
      workflowId: 'leaky',
      args: [secret],
    });
    const failure = await handle.result().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(WorkflowFailedError);
    expect((failure as WorkflowFailedError).cause?.message).toBe(`workflow failed with ${secret}`);
    expect((failure as WorkflowFailedError).cause?.stack).toContain('workflows.ts');

    const history = await handle.fetchHistory();
    expect(await eventTypes(handle)).toContain(EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED);
    const bytes = Buffer.from(temporal.api.history.v1.History.encode(history).finish());
    expect(bytes.includes(secret)).toBe(false);
    expect(bytes.includes('failed with')).toBe(false);
    // Of the stack trace too: it names files of the machine.
    expect(bytes.includes('workflows.ts')).toBe(false);
    expect(bytes.includes('binary/encrypted')).toBe(true);
  });

  it('is shown in plain by Temporal’s own CLI through the codec server, and only so', async () => {
    const codec = new EncryptionCodec(keys);
    const bearerToken = 'token';
    const listen = { host: '127.0.0.1', port: 0 };
    const codecServer = await startCodecServer({ codec, listen, origins: [], bearerToken });
    const target = ['--address', server.connection.options.address, '--workflow-id', 'leaky'];
    const show = async (...more: string[]): Promise<string> => {
      const args = ['workflow', 'show', '--output', 'json', ...target, ...more];
      const { stdout } = await run(findTemporalCli().path, args, { timeout: 20_000 });
      const data = [...stdout.matchAll(/"data": "([^"]+)"/g)].map(([, text]) =>
        Buffer.from(text!, 'base64'),
      );
      return stdout + Buffer.concat(data).toString();
    };
    try {
      expect(await show()).not.toContain(secret);
      const endpoint = ['--codec-endpoint', codecServer.url];
      const decoded = await show(...endpoint, '--codec-auth', `Bearer ${bearerToken}`);
      expect(decoded).toContain(`activity failed with ${secret}`);
      expect(decoded).toContain(`workflow failed with ${secret}`);
    } finally {
      await codecServer.close();
    }
  });

  it('lets a workflow be cancelled while nobody has picked up its activity, which the server tells in plain', async () => {
    const handle = await client.workflow.start('unheard', { taskQueue, workflowId: 'unheard' });
    await expect
      .poll(() => eventTypes(handle), limit)
      .toContain(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
    await handle.cancel();
    await expect.poll(async () => (await handle.describe()).status.name, limit).toBe('CANCELLED');
    const canceled = (await handle.fetchHistory()).events?.find(
      (event) => event.eventType === EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
    );
    const [details] = canceled?.activityTaskCanceledEventAttributes?.details?.payloads ?? [];
    expect(Buffer.from(details?.data ?? []).toString()).toBe('"ACTIVITY_ID_NOT_STARTED"');
  });

  it('does not act on an unencrypted signal; a reset that leaves the signal out sets the workflow going again', async () => {
    const handle = await client.workflow.start('waits', { taskQueue, workflowId: 'waits' });
    const bare = new Client({ connection: server.connection });
    await expect
      .poll(() => eventTypes(handle), limit)
      .toContain(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
    await bare.workflow.getHandle('waits').signal('tell', 'plain words');
    await expect
      .poll(() => eventTypes(handle), limit)
      .toContain(EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED);
    expect((await handle.describe()).status.name).toBe('RUNNING');

    const firstTask = (await handle.fetchHistory()).events!.find(
      (event) => event.eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    );
    await server.connection.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: 'waits' },
      reason: 'test',
      requestId: randomBytes(8).toString('hex'),
      workflowTaskFinishEventId: firstTask!.eventId!,
      resetReapplyExcludeTypes: [
        temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
      ],
    });
    const again = client.workflow.getHandle('waits');
    await again.signal('tell', 'sealed words');
    expect(await again.result()).toBe('sealed words');
  });
});

const limit = { timeout: 10_000 };

async function eventTypes(handle: WorkflowHandle): Promise<unknown[]> {
  return ((await handle.fetchHistory()).events ?? []).map((event) => event.eventType);
}
