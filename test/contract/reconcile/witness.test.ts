/** What Temporal itself says of moves that run, end, are reset, follow one another, or that it never knew. */
import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import type { MoveFate, ServerIdentity } from '../../../domain/orphans.ts';
import { TemporalWitness } from '../../../workers/reconcile-temporal.ts';
import { startDevServer } from './dev-server.ts';
import type { waiting } from './workflows.ts';

const taskQueue = 'moves';
let server: TestWorkflowEnvironment;
let client: Client;
let worker: Worker;
let running: Promise<void>;
let witness: TemporalWitness;
let here: ServerIdentity;

const quiet = (): void => undefined;

beforeAll(async () => {
  Runtime.install({
    logger: { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  const executable = { type: 'existing-path' as const, path: findTemporalCli().path };
  server = await TestWorkflowEnvironment.createLocal({ server: { executable } });
  client = new Client({ connection: server.connection });
  worker = await Worker.create({
    connection: server.nativeConnection,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
  });
  running = worker.run();
  witness = new TemporalWitness({ connection: server.nativeConnection, namespace: 'default' });
  here = await witness.identity();
});
afterAll(async () => {
  worker.shutdown();
  await running;
  await server.teardown();
});

type Handle = WorkflowHandleWithFirstExecutionRunId<typeof waiting>;

const start = (workflowId = `migrate/default/${randomUUID()}`): Promise<Handle> =>
  client.workflow.start<typeof waiting>('waiting', { workflowId, taskQueue, args: [0] });

const fateOf = (handle: Handle, at = witness, from = here): Promise<MoveFate> =>
  at.fateOf({
    moveId: handle.workflowId,
    migrationId: handle.firstExecutionRunId,
    server: from,
  });

it('tells which server and namespace it is, the same at every look', async () => {
  expect(here.clusterId).not.toBe('');
  expect(here.namespaceId).not.toBe('');
  expect(await witness.identity()).toEqual(here);
});

it('says open of a move that waits, and how it ended of one that is over', async () => {
  const moves = await Promise.all([start(), start(), start(), start(), start()]);
  const [open, done, failed, cancelled, terminated] = moves;
  await done.signal('end', 'well');
  await failed.signal('end', 'badly');
  await cancelled.cancel();
  await terminated.terminate('by hand');
  await Promise.allSettled([done, failed, cancelled].map((one) => one.result()));
  const fates = await Promise.all(moves.map((move) => fateOf(move)));
  expect(fates).toEqual([
    { state: 'open' },
    ...['completed', 'failed', 'cancelled', 'terminated'].map((how) => ({ state: 'closed', how })),
  ]);
  await open.terminate();
});

it('says open as long as a run continues the first one', async () => {
  const move = await start();
  await move.signal('end', 'anew');
  await expect
    .poll(async () => (await client.workflow.getHandle(move.workflowId).describe()).runId)
    .not.toBe(move.firstExecutionRunId);
  expect(await fateOf(move)).toEqual({ state: 'open' });
  await client.workflow.getHandle(move.workflowId).terminate();
  expect(await fateOf(move)).toEqual({ state: 'closed', how: 'terminated' });
});

it('says open of a move that ended and was reset, whose first run is closed', async () => {
  const move = await start();
  // Answered after its first task alone: a signal before that would stand in the part that is kept.
  await move.query('__stack_trace');
  await move.signal('end', 'well');
  await move.result();
  expect(await fateOf(move)).toEqual({ state: 'closed', how: 'completed' });
  const { events } = await move.fetchHistory();
  const firstTask = events?.find(({ workflowTaskCompletedEventAttributes: done }) => done != null);
  await client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: move.workflowId, runId: move.firstExecutionRunId },
    reason: 'try again',
    workflowTaskFinishEventId: firstTask!.eventId!,
    requestId: randomUUID(),
    // Else the reset run would be told to end at once, too.
    resetReapplyExcludeTypes: [
      temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
    ],
  });
  const newest = client.workflow.getHandle(move.workflowId);
  expect((await newest.describe()).runId).not.toBe(move.firstExecutionRunId);
  expect(await fateOf(move)).toEqual({ state: 'open' });
  await newest.terminate();
  expect(await fateOf(move)).toEqual({ state: 'closed', how: 'terminated' });
});

it('says closed of a move whose VM is in its next one', async () => {
  const first = await start();
  await first.signal('end', 'well');
  await first.result();
  const second = await start(first.workflowId);
  expect(await fateOf(first)).toEqual({ state: 'closed', how: 'completed' });
  expect(await fateOf(second)).toEqual({ state: 'open' });
  await second.terminate();
});

it('says not found of a move that this server never knew, and of a run that it lost', async () => {
  const ghost = { moveId: `migrate/default/${randomUUID()}`, migrationId: randomUUID() };
  expect(await witness.fateOf({ ...ghost, server: here })).toMatchObject({ why: 'not-found' });
  const move = await start();
  const lost = { moveId: move.workflowId, migrationId: randomUUID(), server: here };
  expect(await witness.fateOf(lost)).toMatchObject({ state: 'unknown', why: 'not-found' });
  await move.terminate();
});

it('believes no server but the one that the move began on, also an empty one at the same place', async () => {
  const move = await start();
  await move.terminate();
  expect(await fateOf(move)).toMatchObject({ state: 'closed' });
  await using other = await startDevServer();
  const connection = await NativeConnection.connect({ address: other.address });
  try {
    const elsewhere = new TemporalWitness({ connection, namespace: 'default' });
    expect(await fateOf(move, elsewhere)).toMatchObject({
      state: 'unknown',
      why: 'foreign-server',
    });
  } finally {
    await connection.close();
  }
  const nowhere = { clusterId: '', namespaceId: '' };
  expect(await fateOf(move, witness, nowhere)).toMatchObject({ why: 'foreign-server' });
});

it('says open of a move that runs, also where it was not written down on which server it began', async () => {
  const move = await start();
  const nowhere = { clusterId: '', namespaceId: '' };
  expect(await fateOf(move, witness, nowhere)).toEqual({ state: 'open' });
  await move.terminate();
  expect(await fateOf(move, witness, nowhere)).toMatchObject({ why: 'foreign-server' });
});

it('says unreachable once the server is gone, and not before', async () => {
  const gone = await startDevServer();
  const connection = await NativeConnection.connect({ address: gone.address });
  try {
    const its = new TemporalWitness({ connection, namespace: 'default' }, 3_000);
    const server = await its.identity();
    const ghost = { moveId: 'migrate/default/x', migrationId: randomUUID(), server };
    expect(await its.fateOf(ghost)).toMatchObject({ why: 'not-found' });
    await gone[Symbol.asyncDispose]();
    expect(await its.fateOf(ghost)).toMatchObject({ state: 'unknown', why: 'unreachable' });
  } finally {
    await connection.close();
  }
});
