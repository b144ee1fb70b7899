/** The programmatic interface: `import { VmFerry } from 'vmferry'`. */
import { userInfo } from 'node:os';
import { randomUUID } from 'node:crypto';
import {
  Client,
  Connection,
  isGrpcServiceError,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { ConnectionOptions } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { resolvePayloadKeys } from '../config/secrets.ts';
import { connectionSettings } from '../config/temporal-connection.ts';
import type { DrainRequest } from '../domain/drain/drain.ts';
import { permanent, transient } from '../domain/errors.ts';
import type { HostFacts } from '../domain/host.ts';
import type { HostChange } from '../domain/hosts/settings.ts';
import type { HostState } from '../domain/hosts/state.ts';
import type { MovePlan, MoveRequest, MoveSummary } from '../domain/move.ts';
import type { OrphanOrder, OrphanOutcome } from '../domain/orphans.ts';
import type { VmFacts, VmSummary } from '../domain/vm.ts';
import {
  controlQueue,
  dryRunId,
  labelsOfMove,
  moveId,
  moveKeys,
  searchAttributes,
  workflowTypes,
} from '../workflows/contract.ts';
import type {
  HostLine,
  ListOrphansResult,
  ListVmsResult,
  MigrateVmInput,
  PlaceAnswer,
  PlaceVmResult,
} from '../workflows/contract.ts';
import { alreadyRunning, toVmFerryError, WorkflowExecutionAlreadyStartedError } from './errors.ts';
import type { Drain, DrainPlan } from './drain.ts';
import { Drains } from './drains.ts';
import { planDrain } from './drain-plan.ts';
import { findVm } from './find-vm.ts';
import { HostDirectory } from './hosts.ts';
import { Move } from './move.ts';
import { dataConverter } from './payload-codec.ts';
import { askOf, noHost, placeInput } from './place.ts';
import type { PlaceRequest } from './place.ts';
import { assertTwoHosts, withDefaults } from './request.ts';
import type { MigrateRequest } from './request.ts';
import { listVersions } from './versions.ts';
import type { VersionList } from './versions.ts';

export { Drain } from './drain.ts';
export type { DrainPlan, DrainPlanLine, DrainStatus } from './drain.ts';
export { Move } from './move.ts';
export type { PlaceRequest } from './place.ts';
export type { DrainLine, DrainReport, DrainRequest } from '../domain/drain/drain.ts';
export type { MigrateRequest } from './request.ts';
export type {
  HostLine,
  ListOrphansResult,
  ListVmsResult,
  MoveStatus,
  PlaceAnswer,
  PlaceVmResult,
} from '../workflows/contract.ts';
export type { HostChange } from '../domain/hosts/settings.ts';
export type { HostState } from '../domain/hosts/state.ts';
export type { GivenOrder, MovePlan, MoveReport, MoveRequest, MoveSummary } from '../domain/move.ts';
export type {
  Story,
  StoryEnd,
  StoryFailure,
  StoryLeftovers,
  StoryMoment,
  StoryRun,
  StoryWork,
} from './story/story.ts';
export type { OpenMove, VersionLine, VersionList } from './versions.ts';
export { defaultLiveWishes } from '../domain/live.ts';
export type { LiveProgress, LiveReport, LiveWishes } from '../domain/live.ts';
export { VmFerryError } from '../domain/errors.ts';

export interface VmFerryOptions {
  /** Temporal's frontend, `host:port`. */
  address: string;
  namespace?: string;
  tls?: ConnectionOptions['tls'];
  apiKey?: string;
  /** The codec of the fleet: payloads are encrypted. */
  dataConverter: DataConverter;
  /** Name of the cluster in move IDs. */
  cluster?: string;
  /** Who acts, for reports; the login name by default. */
  operator?: string;
}

/** Both hosts' checks, each as patient as in a move, and their clearing up. */
const planLimit = '10m';

/** gRPC's NOT_FOUND. */
const grpcNotFound: number = 5;

/** A connection to the fleet; thin: everything durable happens in Temporal. */
export class VmFerry {
  readonly #client: Client;
  readonly #connection: Connection;
  readonly #directory: HostDirectory;
  readonly #drains: Drains;
  readonly #cluster: string;
  readonly #operator: string;
  readonly #address: string;

  private constructor(connection: Connection, options: VmFerryOptions) {
    this.#connection = connection;
    this.#cluster = options.cluster ?? 'default';
    this.#operator = options.operator ?? userInfo().username;
    this.#address = options.address;
    this.#client = new Client({
      connection,
      namespace: options.namespace ?? 'default',
      dataConverter: options.dataConverter,
    });
    this.#directory = new HostDirectory(this.#client, this.#cluster);
    this.#drains = new Drains({
      client: this.#client,
      cluster: this.#cluster,
      moveOf: (id) => this.#moveOf(id),
      operator: this.#operator,
      address: this.#address,
    });
  }

  /**
   * Connects as the configuration says: a file's path, or by default the one that the command line finds
   * (`$VMFERRY_CONFIG`, `./vmferry.yaml`, `/etc/vmferry/vmferry.yaml`). Throws what a broken configuration or a
   * missing key is refused with, and `temporal-unreachable`.
   */
  static async connect(
    options: { config?: string | Config; operator?: string } = {},
  ): Promise<VmFerry> {
    const { config: given, operator } = options;
    const config =
      typeof given === 'object' ? given : loadConfig(given === undefined ? {} : { path: given });
    return VmFerry.connectWith({
      ...(await connectionSettings(config.temporal)),
      namespace: config.temporal.namespace,
      cluster: config.cluster,
      dataConverter: dataConverter(await resolvePayloadKeys(config.encryption)),
      ...(operator === undefined ? {} : { operator }),
    });
  }

  /** The same from parts. Throws `temporal-unreachable` with the address. */
  static async connectWith(options: VmFerryOptions): Promise<VmFerry> {
    try {
      const connection = await Connection.connect({
        address: options.address,
        connectTimeout: '5s',
        ...(options.tls === undefined ? {} : { tls: options.tls }),
        ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
      });
      return new VmFerry(connection, options);
    } catch (error) {
      throw toVmFerryError(error, { what: 'connect', address: options.address });
    }
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  /** Every host whose worker ever announced itself; with `facts`, what the online ones say of themselves now. */
  async hosts(options: { facts?: boolean } = {}): Promise<HostLine[]> {
    return this.#try('list hosts', async () => {
      const lines = await this.#directory.list();
      if (options.facts !== true) return lines;
      return Promise.all(
        lines.map(async (line): Promise<HostLine> => {
          if (!line.online) return line;
          try {
            return { ...line, facts: await this.hostFacts(line.name) };
          } catch (error) {
            // One host that does not answer must not hide the others.
            const fault = toVmFerryError(error, { what: 'read facts', address: this.#address });
            return { ...line, trouble: fault.message };
          }
        }),
      );
    });
  }

  /** One host: what is remembered of it, and whether its worker answers. Throws `host-unknown`. */
  async host(name: string): Promise<HostLine> {
    return this.#try(`look up the host ${name}`, () => this.#directory.host(name));
  }

  /**
   * Changes what people set of a host: labels, limits, whether it takes VMs. Limits of bandwidth reach its worker at
   * once, if it is online. Throws `host-unknown` and `host-change-refused`, which says what is wrong.
   */
  async setHost(name: string, change: HostChange): Promise<HostState> {
    return this.#try(`change the host ${name}`, () =>
      this.#directory.set(name, { ...change, operator: this.#operator }),
    );
  }

  /** What a host says of itself now, the proof of its guard included. */
  async hostFacts(host: string): Promise<HostFacts> {
    return this.#read<HostFacts>(workflowTypes.inspectHost, { host }, `read the facts of ${host}`);
  }

  /** The VMs of the hosts that are online, or of those named. */
  async vms(options: { hosts?: string[] } = {}): Promise<ListVmsResult> {
    return this.#try('list VMs', async () => {
      const named = options.hosts;
      if (named !== undefined) for (const host of named) await this.#directory.assertOnline(host);
      const hosts =
        named ??
        (await this.#directory.list()).filter(({ online }) => online).map(({ name }) => name);
      return this.#read<ListVmsResult>(workflowTypes.listVms, { hosts }, 'list VMs');
    });
  }

  /** What moves left on the hosts that are online, or on those named. */
  async orphans(options: { hosts?: string[] } = {}): Promise<ListOrphansResult> {
    return this.#try('list orphans', async () => {
      const named = options.hosts;
      if (named !== undefined) for (const host of named) await this.#directory.assertOnline(host);
      const hosts =
        named ??
        (await this.#directory.list()).filter(({ online }) => online).map(({ name }) => name);
      return this.#read<ListOrphansResult>(workflowTypes.listOrphans, { hosts }, 'list orphans');
    });
  }

  /**
   * Removes one orphan, or takes it out of the list. The host checks everything again: throws `orphan-unknown`,
   * `orphan-in-use`, `orphan-changed`, `orphan-not-ours`, `move-runs`, `policy-denied`.
   */
  async settleOrphan(asked: {
    host: string;
    id: string;
    order: OrphanOrder['order'];
    operator?: string;
  }): Promise<OrphanOutcome> {
    const what = `${asked.order} the orphan ${asked.id} on ${asked.host}`;
    return this.#try(what, async () => {
      await this.#directory.assertOnline(asked.host);
      const input = { ...asked, operator: asked.operator ?? this.#operator };
      return this.#read<OrphanOutcome>(workflowTypes.settleOrphan, input, what);
    });
  }

  /** One VM by name or UUID. Throws `vm-not-found`, `host-unknown`, `host-offline`. */
  async vm(host: string, vm: string): Promise<VmFacts> {
    return this.#try(`look up ${vm} on ${host}`, async () => {
      await this.#directory.assertOnline(host);
      return this.#read<VmFacts>(workflowTypes.inspectVm, { host, vm }, `look up ${vm} on ${host}`);
    });
  }

  /**
   * The VM of that name or UUID wherever it is, on the host that owns it. Throws `vm-not-found`, `vm-ambiguous`,
   * `host-silent`.
   */
  async locate(vm: string): Promise<VmSummary> {
    return this.#try(`look for ${vm}`, async () => findVm(await this.vms(), vm));
  }

  /**
   * Starts a move and returns at once. Throws `same-host`, `host-unknown`, `host-offline`, `vm-not-found`, and
   * `move-already-running`, which names the first move.
   */
  async migrate(asked: MigrateRequest): Promise<Move> {
    return this.#try(`move ${asked.vm}`, async () => {
      return this.#start(await this.#inputFor(asked, { reserve: true }));
    });
  }

  /**
   * What a move would do, found out by both hosts without touching anything. Critical concerns stand in the plan and
   * are no error here. Throws as `migrate` does.
   */
  async plan(asked: MigrateRequest): Promise<MovePlan> {
    const what = `plan the move of ${asked.vm}`;
    return this.#try(what, async () => {
      const input = await this.#inputFor(asked, { reserve: false });
      const answer: unknown = await this.#client.workflow.execute(workflowTypes.dryRun, {
        workflowId: dryRunId(this.#cluster, input.vm.uuid, randomUUID()),
        taskQueue: controlQueue,
        args: [input],
        workflowExecutionTimeout: planLimit,
        staticSummary: what,
      });
      return answer as MovePlan;
    });
  }

  /**
   * Which host would take a VM, and why; nothing is reserved. Throws `vm-not-found`, `host-unknown`, `host-offline`.
   */
  async place(asked: PlaceRequest): Promise<PlaceVmResult> {
    return this.#try(`choose a host for ${asked.vm}`, async () => {
      await this.#directory.assertOnline(asked.from);
      return this.#place(asked, false);
    });
  }

  /**
   * Begins to empty a host, or joins the drain there is (`joined`), which then tries again what failed or was left.
   * Throws `host-unknown`, `host-offline`.
   */
  async drain(
    host: string,
    asked: Partial<DrainRequest> = {},
  ): Promise<{ drain: Drain; joined: boolean }> {
    return this.#try(`drain ${host}`, async () => {
      await this.#directory.assertOnline(host);
      return this.#drains.begin(host, asked);
    });
  }

  /** The latest drain of a host, running or over; it may not exist, which its `status` says. */
  drainOf(host: string): Drain {
    return this.#drains.of(host);
  }

  /** What a drain would do now, by the checks of both hosts of each move. Touches nothing. */
  async planDrain(host: string, asked: Partial<DrainRequest> = {}): Promise<DrainPlan> {
    return this.#try(`plan the drain of ${host}`, async () => {
      const { vms, unreachable } = await this.vms({ hosts: [host] });
      const [silent] = unreachable;
      if (silent !== undefined) {
        throw transient({
          code: 'host-silent',
          message: `${host} did not list its VMs: ${silent.reason}`,
          remedy: `Look at its worker's log on ${host}, and try again.`,
          host,
        });
      }
      return planDrain(this, { host, vms, request: this.#drains.request(asked) });
    });
  }

  /** VMs may come to the host again; a drain that runs is cancelled. Throws `host-unknown`. */
  async undrain(host: string): Promise<{ host: string; cancelled: boolean }> {
    return this.#try(`undrain ${host}`, async () => {
      const cancelled = await this.#drains.cancel(host);
      await this.setHost(host, { draining: false });
      return { host, cancelled };
    });
  }

  /**
   * A move by its workflow ID, or the latest of a VM by name or UUID; with `runId` an earlier one of the same VM.
   * Throws `move-not-found`, `move-ambiguous`.
   */
  async move(idOrVm: string, options: { runId?: string } = {}): Promise<Move> {
    return this.#try(`find the move ${idOrVm}`, async () => {
      const id = await this.#resolve(idOrVm);
      return this.#moveOf(id, options.runId);
    });
  }

  /** The latest moves first. */
  async moves(options: { limit?: number } = {}): Promise<MoveSummary[]> {
    return this.#try('list moves', async () => {
      const found: MoveSummary[] = [];
      const query = `WorkflowType = '${workflowTypes.migrateVm}'`;
      for await (const one of this.#client.workflow.list({ query })) {
        const attributes = one.typedSearchAttributes;
        found.push({
          id: one.workflowId,
          runId: one.runId,
          vmName: attributes.get(moveKeys.vmName) ?? '',
          source: attributes.get(moveKeys.sourceHost) ?? '',
          target: attributes.get(moveKeys.targetHost) ?? '',
          phase: attributes.get(moveKeys.phase) ?? one.status.name.toLowerCase(),
          startedAt: one.startTime.toISOString(),
          ...(one.closeTime === undefined ? {} : { endedAt: one.closeTime.toISOString() }),
        });
        if (found.length >= (options.limit ?? 50)) break;
      }
      return found;
    });
  }

  /** Versions of the control worker, and the moves that each has to end. */
  async versions(): Promise<VersionList> {
    return this.#try('list versions', () => listVersions(this.#client));
  }

  /** Version of the Temporal server, for `doctor`. */
  async serverVersion(): Promise<string> {
    return this.#try('ask Temporal for its version', async () => {
      const info = await this.#connection.workflowService.getSystemInfo({});
      return info.serverVersion;
    });
  }

  /** Whether the configured namespace exists, for `doctor`. */
  async namespaceExists(): Promise<boolean> {
    return this.#try('look up the namespace', async () => {
      try {
        const { namespace } = this.#client.options;
        await this.#connection.workflowService.describeNamespace({ namespace });
        return true;
      } catch (error) {
        if (isGrpcServiceError(error) && error.code.valueOf() === grpcNotFound) return false;
        throw error;
      }
    });
  }

  /** The server's clock minus this machine's, ms, as exact as the answer was quick; for `doctor`. */
  async clockOffsetMs(): Promise<number> {
    return this.#try("read the server's clock", async () => {
      const sentMs = Date.now();
      const handle = await this.#client.workflow.start(workflowTypes.listVms, {
        workflowId: `read/${this.#cluster}/clock/${randomUUID()}`,
        taskQueue: controlQueue,
        args: [{ hosts: [] }],
        workflowExecutionTimeout: '60s',
      });
      const halfwayMs = (sentMs + Date.now()) / 2;
      return Math.round((await handle.describe()).startTime.getTime() - halfwayMs);
    });
  }

  /** Search attributes that moves need and the namespace lacks, for `doctor`. */
  async missingSearchAttributes(): Promise<string[]> {
    return this.#try('list search attributes', async () => {
      const { namespace } = this.#client.options;
      const answer = await this.#connection.operatorService.listSearchAttributes({ namespace });
      const present = Object.keys(answer.customAttributes);
      return Object.values(searchAttributes).filter((name) => !present.includes(name));
    });
  }

  /**
   * What is asked, with the VM looked up, so that the workflow's ID can name it, and with a host chosen where none is
   * named; `reserve` promises the VM its room there.
   */
  async #inputFor(
    asked: MigrateRequest,
    { reserve }: { reserve: boolean },
  ): Promise<MigrateVmInput> {
    const named = withDefaults(asked, this.#operator);
    assertTwoHosts(named);
    await this.#directory.assertOnline(named.from);
    if (named.to !== '') await this.#directory.assertOnline(named.to);
    const { name, uuid, state } = await this.vm(named.from, named.vm);
    const placed =
      named.to === '' ? await this.#placed({ asked, named, uuid, name }, reserve) : undefined;
    const request = { ...named, to: placed?.chosen ?? named.to };
    const address =
      request.live === undefined
        ? undefined
        : (await this.#directory.remembered(request.to)).announcement?.migrationAddress;
    return {
      cluster: this.#cluster,
      vm: { name, uuid },
      running: state === 'running',
      request,
      ...(placed === undefined ? {} : { placement: placed.note }),
      ...(address === undefined || address === '' ? {} : { targetAddress: address }),
    };
  }

  /** Throws `no-host`, and `move-already-running` before room is reserved that the move there is would never use. */
  async #placed(
    what: { asked: MigrateRequest; named: MoveRequest; uuid: string; name: string },
    reserve: boolean,
  ): Promise<PlaceAnswer & { chosen: string }> {
    const { asked, named, uuid, name } = what;
    if (reserve) await this.#assertNoMove(uuid, name);
    const { policy, preferHost } = asked;
    const wishes = {
      ...(policy === undefined ? {} : { policy }),
      ...(preferHost === undefined ? {} : { preferHost }),
    };
    const { answer } = await this.#place({ ...askOf(named), ...wishes, vm: uuid }, reserve);
    const { chosen } = answer;
    if (chosen === undefined) throw noHost(name, answer);
    return { ...answer, chosen };
  }

  async #assertNoMove(uuid: string, name: string): Promise<void> {
    const workflowId = moveId(this.#cluster, uuid);
    try {
      const { status } = await this.#client.workflow.getHandle(workflowId).describe();
      if (status.name === 'RUNNING') throw alreadyRunning({ workflowId }, name);
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  #place(asked: PlaceRequest, reserve: boolean): Promise<PlaceVmResult> {
    const input = placeInput(asked, { cluster: this.#cluster, reserve });
    return this.#read<PlaceVmResult>(workflowTypes.place, input, `choose a host for ${asked.vm}`);
  }

  async #start(input: MigrateVmInput): Promise<Move> {
    const { vm } = input;
    const id = moveId(this.#cluster, vm.uuid);
    try {
      await this.#client.workflow.start(workflowTypes.migrateVm, {
        workflowId: id,
        taskQueue: controlQueue,
        args: [input],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        ...labelsOfMove(input, 'person'),
      });
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError)
        throw alreadyRunning(error, vm.name);
      throw error;
    }
    return this.#moveOf(id);
  }

  #moveOf(id: string, runId?: string): Move {
    return new Move({
      client: this.#client,
      id,
      ...(runId === undefined ? {} : { runId }),
      operator: this.#operator,
      address: this.#address,
    });
  }

  async #resolve(idOrVm: string): Promise<string> {
    if (idOrVm.startsWith('migrate/')) return idOrVm;
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(idOrVm)) {
      return moveId(this.#cluster, idOrVm.toLowerCase());
    }
    const named = (await this.moves({ limit: 1000 })).filter(({ vmName }) => vmName === idOrVm);
    const open = named.filter(({ endedAt }) => endedAt === undefined);
    // An order to the wrong one of two would be grave; among moves that are over, the latest is meant.
    const ids = [...new Set((open.length > 0 ? open : named.slice(0, 1)).map(({ id }) => id))];
    const [only] = ids;
    if (ids.length > 1) {
      throw permanent({
        code: 'move-ambiguous',
        message: `${ids.length} VMs named ${idOrVm} are being moved: ${ids.join(', ')}`,
        remedy: 'Name the move by its ID, or the VM by its UUID.',
      });
    }
    if (only !== undefined) return only;
    throw permanent({
      code: 'move-not-found',
      message: `no move of a VM named ${idOrVm} is known`,
      remedy: 'List the moves with `vmferry status`.',
    });
  }

  /** Runs a short workflow that only reads. */
  async #read<T>(type: string, input: object, what: string): Promise<T> {
    return this.#try(what, async () => {
      const answer: unknown = await this.#client.workflow.execute(type, {
        workflowId: `read/${this.#cluster}/${type}/${randomUUID()}`,
        taskQueue: controlQueue,
        args: [input],
        // The longest of them, a look for orphans, may take this long.
        workflowExecutionTimeout: '3m',
        staticSummary: what,
      });
      return answer as T;
    });
  }

  async #try<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw toVmFerryError(error, { what, address: this.#address });
    }
  }
}
