/** Two versions of the control worker side by side on a real server: an upgrade under running moves. */
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { listVersions } from '../../../client/versions.ts';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { currentBundle } from '../../../workers/build-bundle.ts';
import { createControlWorker, runInPlace } from '../../../workers/control.ts';
import type { Verdict } from '../../../workers/deployment.ts';
import type { TemporalAccess } from '../../../workers/process.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import { tellHost } from '../../../workers/tell-host.ts';
import {
  controlQueue,
  hostId,
  hostQueue,
  memoNames,
  moveId,
  queryNames,
  updateNames,
  workflowTypes,
} from '../../../workflows/contract.ts';
import type { MigrateVmInput } from '../../../workflows/contract.ts';
import { FakeWorld, vm } from '../../quick/workflows/fake-hosts.ts';
import { request } from '../../quick/workflows/move-request.ts';

const old = '0.1.0-aaaaaaaaaaaa';
const fresh = '0.2.0-bbbbbbbbbbbb';
const waitMs = 30_000;

let environment: TestWorkflowEnvironment;
let access: TemporalAccess;
let code: string;
const worlds = new Map<string, FakeWorld>();
const hosts: { worker: Worker; running: Promise<void> }[] = [];
const controls: RunningControl[] = [];

interface RunningControl {
  verdict: Verdict;
  stop(): Promise<void>;
}

/** A control worker of a version, as `vmferry control` runs it; resolves once its place is settled. */
async function control(buildId: string): Promise<RunningControl> {
  const worker = await createControlWorker(access, { buildId, workflowBundle: { code } });
  let running: Promise<void> = Promise.resolve();
  const verdict = await new Promise<Verdict>((resolve, reject) => {
    const logger = pino({ level: 'silent' });
    running = runInPlace(worker, { access, buildId, logger, onPlace: resolve });
    running.catch(reject);
  });
  const stop = async (): Promise<void> => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await running;
  };
  const started = { verdict, stop };
  controls.push(started);
  return started;
}

/** The verbs of a host, of whatever move they are asked for. */
function hostActivities(host: 'alpha' | 'beta'): Record<string, (input: never) => unknown> {
  const verbs = Object.keys(new FakeWorld({ running: false }).activities(host));
  return Object.fromEntries(
    verbs.map((verb) => [
      verb,
      (input: { moveId: string }) => {
        const world = worlds.get(input.moveId);
        if (world === undefined) throw new Error(`no world for ${input.moveId}`);
        const activities = world.activities(host) as unknown as Record<
          string,
          (input: unknown) => unknown
        >;
        return activities[verb]?.(input);
      },
    ]),
  );
}

beforeAll(async () => {
  const executable = { type: 'existing-path' as const, path: findTemporalCli().path };
  [environment, code] = await Promise.all([
    TestWorkflowEnvironment.createLocal({ server: { executable } }),
    currentBundle(),
  ]);
  await ensureSearchAttributes(environment.nativeConnection, 'default');
  access = { connection: environment.nativeConnection, namespace: 'default', dataConverter: {} };
  for (const host of ['alpha', 'beta'] as const) {
    const worker = await Worker.create({
      connection: environment.nativeConnection,
      taskQueue: hostQueue(host),
      activities: hostActivities(host),
    });
    hosts.push({ worker, running: worker.run() });
  }
});

afterAll(async () => {
  await Promise.all(controls.map((one) => one.stop()));
  for (const { worker, running } of hosts) {
    worker.shutdown();
    await running;
  }
  await environment.teardown();
});

/** Starts a move, and waits until it asks for a commit. */
async function startMove(): Promise<WorkflowHandle> {
  const workflowId = moveId('default', randomUUID());
  const world = new FakeWorld({ running: true });
  worlds.set(workflowId, world);
  const input: MigrateVmInput = {
    cluster: 'default',
    vm,
    running: true,
    request: request({ autoCommit: false }),
  };
  const handle = await environment.client.workflow.start(workflowTypes.migrateVm, {
    taskQueue: controlQueue,
    workflowId,
    args: [input],
  });
  await untilPhase(handle, 'awaiting-commit');
  return handle;
}

/** As the list has it; the moves here are started without the name of a VM. */
const openMove = ({ workflowId }: WorkflowHandle) => ({
  id: workflowId,
  vmName: '',
  phase: 'awaiting-commit',
});

async function untilPhase(handle: WorkflowHandle, phase: string): Promise<void> {
  const deadline = Date.now() + waitMs;
  let last = '';
  while (Date.now() < deadline) {
    last = (await handle.query<MoveReport>(queryNames.report)).phase;
    if (last === phase) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the move is ${last}, not ${phase}`);
}

/** Versions of the workers that did a workflow's tasks, as the server wrote them down. */
async function versionsOf(workflowId: string): Promise<string[]> {
  const { events } = await environment.client.workflow.getHandle(workflowId).fetchHistory();
  const builds = (events ?? []).map(
    ({ workflowTaskCompletedEventAttributes: done }) => done?.deploymentVersion?.buildId ?? '',
  );
  return [...new Set(builds.filter((build) => build !== ''))];
}

/** Both hosts: a move asks each for a place. */
async function announce(version: string): Promise<void> {
  for (const [name, migrationAddress] of [
    ['alpha', '198.51.100.11'],
    ['beta', '198.51.100.12'],
  ] as const) {
    const startedAt = '2026-01-01T00:00:00Z';
    const entity = { cluster: 'default', name };
    await tellHost(access, entity, { announce: { name, version, migrationAddress, startedAt } });
  }
}

async function untilServedBy(workflowId: string, version: string): Promise<void> {
  const deadline = Date.now() + waitMs;
  while (!(await versionsOf(workflowId)).includes(version)) {
    if (Date.now() > deadline) throw new Error(`${workflowId} never came to ${version}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

it('a move ends under the version that it began with; new moves and hosts go to the new one', async () => {
  const first = await control(old);
  expect(first.verdict).toBe('first');
  await announce('0.1.0');
  const before = await startMove();
  await untilServedBy(hostId('default', 'alpha'), old);

  const second = await control(fresh);
  expect(second.verdict).toBe('newer');
  const after = await startMove();
  await announce('0.2.0');
  await untilServedBy(hostId('default', 'alpha'), fresh);

  // The list of workflows lags a little.
  await vi.waitFor(
    async () =>
      expect(await listVersions(environment.client)).toEqual({
        versions: [
          { version: fresh, current: true, online: true, moves: [openMove(after)] },
          { version: old, current: false, online: true, moves: [openMove(before)] },
        ],
        waiting: [],
      }),
    { timeout: waitMs, interval: 100 },
  );

  await before.executeUpdate(updateNames.commit, { args: [{ operator: 'test' }] });
  await after.executeUpdate(updateNames.commit, { args: [{ operator: 'test' }] });
  expect(await before.result()).toMatchObject({ phase: 'committed' });
  expect(await after.result()).toMatchObject({ phase: 'committed' });
  expect(await versionsOf(before.workflowId)).toEqual([old]);
  expect(await versionsOf(after.workflowId)).toEqual([fresh]);

  await vi.waitFor(
    async () =>
      expect(
        (await listVersions(environment.client)).versions.map(({ moves }) => moves.length),
      ).toEqual([0, 0]),
    { timeout: waitMs, interval: 100 },
  );

  // A worker of the old version that is restarted, as systemd would, turns nothing back.
  await first.stop();
  const again = await control(old);
  expect(again.verdict).toBe('was-replaced');
  await again.stop();
  // No worker of its version is left to be asked.
  const { memo } = await before.describe();
  expect(memo?.[memoNames.report]).toMatchObject({ phase: 'committed', vmOn: 'beta' });
  await second.stop();
  expect((await control(fresh)).verdict).toBe('is-current');
}, 120_000);
