/** Runs real workflows on a Temporal dev server against the hosts of `fake-hosts.ts`. */
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import type { ControlActivities } from '../../../activities/control/contract.ts';
import type { HostActivities } from '../../../activities/contract.ts';
import type { WorkflowHandle } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import type { MoveReport, MoveRequest } from '../../../domain/move.ts';
import { currentBundle } from '../../../workers/build-bundle.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import {
  controlQueue,
  hostQueue,
  moveId,
  queryNames,
  workflowTypes,
} from '../../../workflows/contract.ts';
import type { MigrateVmInput } from '../../../workflows/contract.ts';
import { openHosts } from './open-hosts.ts';
import { Histories } from './histories.ts';
import { FakeWorld, vm } from './fake-hosts.ts';
import type { Verb } from './fake-hosts.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

export class MoveBench {
  readonly #environment: TestWorkflowEnvironment;
  readonly #workers: Worker[];
  readonly #running: Promise<void>[];
  readonly #worlds: Worlds;
  readonly #histories = new Histories();

  private constructor(environment: TestWorkflowEnvironment, workers: Worker[], worlds: Worlds) {
    this.#environment = environment;
    this.#workers = workers;
    this.#worlds = worlds;
    this.#running = workers.map((worker) => worker.run());
  }

  /** `control`: what the control worker answers; by default hosts have a place for every move. */
  static async open(control: Partial<ControlActivities> = {}): Promise<MoveBench> {
    const { path } = findTemporalCli();
    const [environment, code] = await Promise.all([
      // The dev server: on the time-skipping one a cancelled activity that has not begun is never answered.
      TestWorkflowEnvironment.createLocal({
        server: { executable: { type: 'existing-path', path } },
      }),
      currentBundle(),
    ]);
    await ensureSearchAttributes(environment.nativeConnection, 'default');
    const worlds: Worlds = new Map();
    const base = {
      connection: environment.nativeConnection,
      shutdownGraceTime: '1s',
      identity: 'bench',
    } as const;
    const workers = await Promise.all([
      Worker.create({
        ...base,
        taskQueue: controlQueue,
        workflowBundle: { code },
        activities: { ...openHosts, ...control },
      }),
      Worker.create({
        ...base,
        taskQueue: hostQueue('alpha'),
        activities: onStage(worlds, 'alpha'),
      }),
      Worker.create({ ...base, taskQueue: hostQueue('beta'), activities: onStage(worlds, 'beta') }),
    ]);
    return new MoveBench(environment, workers, worlds);
  }

  /** Of the last move that was run: to be saved for replays. */
  get lastHistory(): History | undefined {
    return this.#histories.last;
  }

  /** Throws if what was played here goes another way when it is replayed. */
  async close(): Promise<void> {
    for (const worker of this.#workers) worker.shutdown();
    await Promise.all(this.#running);
    await this.#environment.teardown();
    await this.#histories.replay();
  }

  /** Starts a move in a world, lets `during` act on it, and gives the last report when the workflow is over. */
  async run(
    world: FakeWorld,
    asked: MoveRequest,
    during: (handle: WorkflowHandle) => Promise<void> = () => Promise.resolve(),
    more: Pick<MigrateVmInput, 'heldForMs'> = {},
  ): Promise<MoveReport> {
    const { client } = this.#environment;
    const workflowId = moveId('default', randomUUID());
    this.#worlds.set(workflowId, world);
    const input: MigrateVmInput = {
      cluster: 'default',
      vm,
      running: world.alpha.running,
      request: asked,
      ...more,
    };
    const handle = await client.workflow.start(workflowTypes.migrateVm, {
      taskQueue: controlQueue,
      workflowId,
      args: [input],
    });
    try {
      await during(handle);
      await handle.result().catch((error: unknown) => {
        if (!(error instanceof WorkflowFailedError)) throw error;
      });
      this.#histories.add(workflowId, await handle.fetchHistory());
      return await handle.query<MoveReport>(queryNames.report);
    } catch (error) {
      await handle.terminate('the test failed').catch(() => undefined);
      throw error;
    }
  }
}

/** Worlds by the workflow that plays in them: many moves run at a time. */
type Worlds = Map<string, FakeWorld>;

function onStage(worlds: Worlds, host: 'alpha' | 'beta'): HostActivities {
  const verbs = Object.keys(new FakeWorld({ running: false }).activities(host)) as Verb[];
  const delegate = (verb: Verb) => (input: { moveId: string }) => {
    const world = worlds.get(input.moveId);
    if (world === undefined) throw new Error(`no world for ${input.moveId}`);
    return (world.activities(host)[verb] as (input: unknown) => Promise<unknown>)(input);
  };
  return Object.fromEntries(
    verbs.map((verb) => [verb, delegate(verb)]),
  ) as unknown as HostActivities;
}
