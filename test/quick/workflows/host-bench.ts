/** Runs hosts' entities and the control activities on a Temporal dev server; no host is behind them. */
import { randomUUID } from 'node:crypto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { Client } from '@temporalio/client';
import { pino } from 'pino';
import type { BandwidthOrder } from '../../../activities/upkeep.ts';
import { HostDirectory } from '../../../client/hosts.ts';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import type { HostReading } from '../../../domain/hosts/reading.ts';
import type { BandwidthInForce } from '../../../domain/hosts/state.ts';
import { currentBundle } from '../../../workers/build-bundle.ts';
import { createControlWorker, runInPlace } from '../../../workers/control.ts';
import { TemporalFleet } from '../../../workers/fleet-access.ts';
import { controlQueue, hostId, hostQueue, signalNames } from '../../../workflows/contract.ts';
import type { HostAnnouncement } from '../../../workflows/contract.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

export class HostBench {
  readonly #environment: TestWorkflowEnvironment;
  readonly #workers: Worker[];
  readonly #running: Promise<void>[];
  /** A cluster of its own for each test, so that one server serves all. */
  readonly cluster = `test-${randomUUID().slice(0, 8)}`;

  private constructor(
    environment: TestWorkflowEnvironment,
    control: Worker,
    running: Promise<void>,
  ) {
    this.#environment = environment;
    this.#workers = [control];
    this.#running = [running];
  }

  static async open(): Promise<HostBench> {
    const { path } = findTemporalCli();
    const [environment, code] = await Promise.all([
      TestWorkflowEnvironment.createLocal({
        server: { executable: { type: 'existing-path', path } },
      }),
      currentBundle(),
    ]);
    const connection = environment.nativeConnection;
    const access = { connection, namespace: 'default', dataConverter: {} };
    // As `vmferry control` does: an entity that upgrades with its worker needs one that has a version.
    const buildId = '0.0.0-bench';
    const control = await createControlWorker(access, { buildId, workflowBundle: { code } });
    const logger = pino({ level: 'silent' });
    const { promise: inPlace, resolve, reject } = Promise.withResolvers<unknown>();
    const running = runInPlace(control, { access, buildId, logger, onPlace: resolve });
    running.catch(reject);
    await inPlace;
    return new HostBench(environment, control, running);
  }

  get client(): Client {
    return this.#environment.client;
  }

  get fleet(): TemporalFleet {
    const connection = this.#environment.nativeConnection;
    return new TemporalFleet({ connection, namespace: 'default', dataConverter: {} }, this.cluster);
  }

  get directory(): HostDirectory {
    return new HostDirectory(this.client, this.cluster);
  }

  /** Of its Temporal server. */
  get address(): string {
    return this.#environment.address;
  }

  /** A worker of a host that takes caps over, as real ones do, and plays `verbs`; gives what it was told of caps. */
  async serve(name: string, verbs: object = {}): Promise<BandwidthOrder[]> {
    const told: BandwidthOrder[] = [];
    const worker = await Worker.create({
      connection: this.#environment.nativeConnection,
      taskQueue: hostQueue(name),
      shutdownGraceTime: '1s',
      activities: {
        ...verbs,
        applyLimits: (order: BandwidthOrder): Promise<BandwidthInForce> => {
          told.push(order);
          return Promise.resolve({ upBytesPerSecond: 0, downBytesPerSecond: 0, ...order });
        },
      },
    });
    this.#workers.push(worker);
    this.#running.push(worker.run());
    return told;
  }

  /** Begins the entity as a host worker does. */
  async announce(name: string, read?: HostReading): Promise<void> {
    const announcement: HostAnnouncement = {
      name,
      version: '0.3.0',
      migrationAddress: '198.51.100.11',
      startedAt: '2026-03-04T10:00:00.000Z',
    };
    await this.#signal(name, signalNames.announce, announcement);
    if (read !== undefined) await this.#signal(name, signalNames.reading, read);
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) worker.shutdown();
    await Promise.all(this.#running);
    await this.#environment.teardown();
  }

  async #signal(name: string, signal: string, argument: unknown): Promise<void> {
    await this.client.workflow.signalWithStart('host', {
      workflowId: hostId(this.cluster, name),
      taskQueue: controlQueue,
      args: [{ cluster: this.cluster, name }],
      signal,
      signalArgs: [argument],
    });
  }
}
