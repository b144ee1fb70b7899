/** Runs real imports on a Temporal dev server against the worlds of `fake-import.ts`. */
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { WorkflowFailedError } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { ControlActivities } from '../../../activities/control/contract.ts';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import { importDefaults } from '../../../domain/import.ts';
import type { ImportForecast, ImportReport, ImportRequest } from '../../../domain/import.ts';
import { currentBundle } from '../../../workers/build-bundle.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import {
  controlQueue,
  hostQueue,
  importForecastId,
  importId,
  queryNames,
  workflowTypes,
} from '../../../workflows/contract.ts';
import type { ImportVmInput } from '../../../workflows/contract.ts';
import { openHosts } from '../workflows/open-hosts.ts';
import { Histories } from '../workflows/histories.ts';
import { foreignVm, ImportWorld } from './fake-import.ts';
import type { PlayedVerbs } from './fake-import.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

export const importRequest = (changes: Partial<ImportRequest> = {}): ImportRequest => ({
  ...importDefaults,
  ...{ provider: 'vc', vm: foreignVm.id, conversionHost: 'alpha', to: 'beta' },
  defaultNetwork: 'bridge:br0',
  storage: { pool: 'default', format: 'qcow2' },
  operator: 'test',
  autoCommit: true,
  ...changes,
});

export class ImportBench {
  readonly #environment: TestWorkflowEnvironment;
  readonly #workers: Worker[];
  readonly #running: Promise<void>[];
  readonly #worlds: Map<string, ImportWorld>;
  readonly #histories = new Histories();

  private constructor(
    environment: TestWorkflowEnvironment,
    workers: Worker[],
    worlds: Map<string, ImportWorld>,
  ) {
    this.#environment = environment;
    this.#workers = workers;
    this.#worlds = worlds;
    this.#running = workers.map((worker) => worker.run());
  }

  /** `control`: what the control worker answers; by default hosts have a place for every VM. */
  static async open(control: Partial<ControlActivities> = {}): Promise<ImportBench> {
    const { path } = findTemporalCli();
    const [environment, code] = await Promise.all([
      TestWorkflowEnvironment.createLocal({
        server: { executable: { type: 'existing-path', path } },
      }),
      currentBundle(),
    ]);
    await ensureSearchAttributes(environment.nativeConnection, 'default');
    const worlds = new Map<string, ImportWorld>();
    const activities = onStage(worlds);
    const base = {
      connection: environment.nativeConnection,
      shutdownGraceTime: '1s',
      identity: 'bench',
    } as const;
    const workers = await Promise.all([
      Worker.create({
        ...{ ...base, taskQueue: controlQueue, workflowBundle: { code } },
        activities: { ...openHosts, ...control },
      }),
      Worker.create({ ...base, taskQueue: hostQueue('alpha'), activities }),
      Worker.create({ ...base, taskQueue: hostQueue('beta'), activities }),
    ]);
    return new ImportBench(environment, workers, worlds);
  }

  /** Of the last import that was run: to be saved for replays. */
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

  /** What an import in a world would do. */
  async forecast(world: ImportWorld, request: ImportRequest): Promise<ImportForecast> {
    const workflowId = importForecastId(importId('default', 'vc', foreignVm.id), randomUUID());
    this.#worlds.set(workflowId, world);
    const vm = { id: foreignVm.id, name: foreignVm.name, uuid: foreignVm.uuid };
    const input: ImportVmInput = { cluster: 'default', vm, request };
    const answer: unknown = await this.#environment.client.workflow.execute(
      workflowTypes.forecastImport,
      { taskQueue: controlQueue, workflowId, args: [input], workflowExecutionTimeout: '1m' },
    );
    return answer as ImportForecast;
  }

  /** Starts an import in a world, lets `during` act on it, and gives the last report when the workflow is over. */
  async run(
    world: ImportWorld,
    request: ImportRequest,
    during: (handle: WorkflowHandle) => Promise<void> = () => Promise.resolve(),
  ): Promise<ImportReport> {
    const workflowId = importId('default', 'vc', randomUUID());
    this.#worlds.set(workflowId, world);
    const vm = { id: foreignVm.id, name: foreignVm.name, uuid: foreignVm.uuid };
    const input: ImportVmInput = { cluster: 'default', vm, request };
    const handle = await this.#environment.client.workflow.start(workflowTypes.importVm, {
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
      return await handle.query<ImportReport>(queryNames.report);
    } catch (error) {
      await handle.terminate('the test failed').catch(() => undefined);
      throw error;
    }
  }
}

function onStage(worlds: Map<string, ImportWorld>): PlayedVerbs {
  const verbs = Object.keys(new ImportWorld({ running: false }).activities());
  const delegate = (verb: string) => (input: { moveId: string }) => {
    const act = worlds.get(input.moveId)?.activities()[verb];
    if (act === undefined) throw new Error(`no ${verb} for ${input.moveId}`);
    return (act as (input: unknown) => Promise<unknown>)(input);
  };
  return Object.fromEntries(verbs.map((verb) => [verb, delegate(verb)]));
}

export async function untilPhase(handle: WorkflowHandle, phase: string): Promise<ImportReport> {
  for (;;) {
    const report = await handle.query<ImportReport>(queryNames.report);
    if (report.phase === phase) return report;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
