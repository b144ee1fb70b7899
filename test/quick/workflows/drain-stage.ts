/** Real drains on a Temporal dev server: the hosts' answers and the moves are played. */
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { fileURLToPath } from 'node:url';
import type { ControlActivities, ReleaseMoveInput } from '../../../activities/control/contract.ts';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import { drainDefaults } from '../../../domain/drain/drain.ts';
import type { DrainReport, DrainRequest } from '../../../domain/drain/drain.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import {
  controlQueue,
  drainId,
  hostQueue,
  queryNames,
  workflowTypes,
} from '../../../workflows/contract.ts';
import type { DrainInput, MigrateVmInput } from '../../../workflows/contract.ts';
import type { DrainedHost } from './drained-host.ts';
import { Histories } from './histories.ts';
import { request } from './move-request.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

/** Of one run, before the server asks for a new one. */
const mostEvents = 150;

export class DrainStage {
  readonly environment: TestWorkflowEnvironment;
  /** Places that were given back. */
  readonly released: ReleaseMoveInput[] = [];
  readonly #code: string;
  readonly #hosts = new Map<string, DrainedHost>();
  readonly #workers: Worker[] = [];
  readonly #running: Promise<void>[] = [];

  private constructor(environment: TestWorkflowEnvironment, code: string) {
    this.environment = environment;
    this.#code = code;
  }

  static async open(): Promise<DrainStage> {
    const workflowsPath = fileURLToPath(new URL('drain-played.ts', import.meta.url));
    const [environment, { code }] = await Promise.all([
      TestWorkflowEnvironment.createLocal({
        server: {
          executable: { type: 'existing-path', path: findTemporalCli().path },
          // A drain goes on in a new run after a few VMs, not after many.
          extraArgs: [
            '--dynamic-config-value',
            `limit.historyCount.suggestContinueAsNew=${mostEvents}`,
          ],
        },
      }),
      bundleWorkflowCode({ workflowsPath }),
    ]);
    await ensureSearchAttributes(environment.nativeConnection, 'default');
    const stage = new DrainStage(environment, code);
    await stage.#startControl();
    return stage;
  }

  async #startControl(): Promise<void> {
    const hostOf = (id: string): DrainedHost => this.#hosts.get(id.split('-')[0] ?? '')!;
    const activities: Pick<ControlActivities, 'place' | 'setHost' | 'releaseMove'> = {
      place: (input) => hostOf(input.vm.host!).place(input),
      setHost: ({ host, order }) => {
        this.#hosts.get(host)?.orders.push(order);
        return Promise.resolve({} as never);
      },
      releaseMove: (input) => {
        this.released.push(input);
        return Promise.resolve();
      },
    };
    await this.#run({
      taskQueue: controlQueue,
      activities,
      workflowBundle: { code: this.#code },
    });
  }

  async host(host: DrainedHost): Promise<DrainedHost> {
    this.#hosts.set(host.name, host);
    const activities = {
      listVms: () => Promise.resolve(host.list()),
      lookToPlace: ({ vm }: { vm: string }) =>
        Promise.resolve().then(() => ({
          facts: host.inspect(vm),
          wishes: { rules: [], requiredLabels: {} },
        })),
    };
    await this.#run({ taskQueue: hostQueue(host.name), activities });
    return host;
  }

  drain(
    host: DrainedHost,
    request: Partial<DrainRequest> = {},
  ): Promise<WorkflowHandleWithFirstExecutionRunId> {
    const input: DrainInput = {
      cluster: 'c',
      host: host.name,
      request: { ...drainDefaults('ada'), ...request },
    };
    return this.environment.client.workflow.start(workflowTypes.drain, {
      workflowId: drainId('c', host.name),
      taskQueue: controlQueue,
      args: [input],
    });
  }

  /** Somebody else's move of the VM to beta. */
  async beginMove(host: DrainedHost, vm: string): Promise<void> {
    const uuid = host.uuidOf(vm);
    const input: MigrateVmInput = {
      cluster: 'c',
      vm: { name: vm, uuid },
      running: true,
      request: request({ vm: uuid, from: host.name }),
    };
    await this.environment.client.workflow.start(workflowTypes.migrateVm, {
      workflowId: `migrate/c/${uuid}`,
      taskQueue: controlQueue,
      args: [input],
    });
  }

  move(host: DrainedHost, vm: string) {
    return this.environment.client.workflow.getHandle(`migrate/c/${host.uuidOf(vm)}`);
  }

  /** Lets a move go on that holds; it may be beginning this very moment. */
  async go(host: DrainedHost, vm: string): Promise<void> {
    for (const deadline = Date.now() + 20_000; ; await new Promise((r) => setTimeout(r, 50))) {
      try {
        await this.move(host, vm).signal('go');
        return;
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError) || Date.now() > deadline) throw error;
      }
    }
  }

  /** Every run of every drain, as the server lists them. */
  async drains(): Promise<{ workflowId: string; runId: string }[]> {
    const { workflow } = this.environment.client;
    const found = [];
    for await (const one of workflow.list({ query: "WorkflowType = 'drain'" })) found.push(one);
    return found;
  }

  /** Goes through them once more, as a worker does that takes one over. */
  async replayDrains(): Promise<void> {
    const { workflow } = this.environment.client;
    const histories = new Histories();
    for (const { workflowId, runId } of await this.drains())
      histories.add(workflowId, await workflow.getHandle(workflowId, runId).fetchHistory());
    await histories.replay(this.#code);
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await Promise.all(this.#running);
    await this.environment.teardown();
  }

  async #run(options: Omit<Parameters<typeof Worker.create>[0], 'connection'>): Promise<Worker> {
    const worker = await Worker.create({
      connection: this.environment.nativeConnection,
      identity: 'bench',
      shutdownGraceTime: '1s',
      ...options,
    });
    this.#workers.push(worker);
    this.#running.push(worker.run());
    return worker;
  }
}

/** The report once `done` says so of it; asks again and again, for 20 s at most. */
export async function reportWhen(
  handle: Pick<WorkflowHandleWithFirstExecutionRunId, 'query'>,
  done: (states: Record<string, string>, report: DrainReport) => boolean,
): Promise<DrainReport> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const report = await handle.query<DrainReport>(queryNames.report);
    if (done(statesOf(report), report)) return report;
    if (Date.now() > deadline) throw new Error(`not so: ${JSON.stringify(report)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const statesOf = ({ vms }: DrainReport): Record<string, string> =>
  Object.fromEntries(vms.map(({ name, state }) => [name, state]));
