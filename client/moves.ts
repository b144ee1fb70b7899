/** Begins moves, and finds them again. */
import { randomUUID } from 'node:crypto';
import {
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { permanent } from '../domain/errors.ts';
import type { MovePlan, MoveRequest, MoveSummary } from '../domain/move.ts';
import {
  controlQueue,
  dryRunId,
  labelsOfMove,
  memoNames,
  moveId,
  moveKeys,
  workflowTypes,
} from '../workflows/contract.ts';
import type { MigrateVmInput, PlaceAnswer, PlannedPlace } from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { alreadyRunning, WorkflowExecutionAlreadyStartedError } from './errors.ts';
import type { Fleet } from './fleet.ts';
import { Move } from './move.ts';
import { askOf, noHost, placeInput } from './place.ts';
import type { PlaceRequest } from './place.ts';
import { sameHost, withDefaults } from './request.ts';
import type { MigrateRequest } from './request.ts';

/** Both hosts' checks, each as patient as in a move, and their clearing up. */
const planLimit = '10m';
/** Of moves, latest first, that one named by its VM is looked for among. */
const mostLookedAt = 1000;

export class Moves {
  readonly #access: Access;
  readonly #fleet: Fleet;

  constructor(access: Access, fleet: Fleet) {
    this.#access = access;
    this.#fleet = fleet;
  }

  async begin(asked: MigrateRequest): Promise<Move> {
    return this.#access.attempt(`move ${asked.vm}`, async () =>
      this.#start(await this.#inputFor(asked, { reserve: true })),
    );
  }

  async plan(asked: MigrateRequest): Promise<MovePlan> {
    const what = `plan the move of ${asked.vm}`;
    return this.#access.attempt(what, async () => {
      const input = await this.#inputFor(asked, { reserve: false });
      const answer: unknown = await this.#access.client.workflow.execute(workflowTypes.dryRun, {
        workflowId: dryRunId(this.#access.cluster, input.vm.uuid, randomUUID()),
        taskQueue: controlQueue,
        args: [input],
        workflowExecutionTimeout: planLimit,
        staticSummary: what,
      });
      return answer as MovePlan;
    });
  }

  async place(asked: PlaceRequest): Promise<PlannedPlace> {
    return this.#access.attempt(`choose a host for ${asked.vm}`, async () => {
      await this.#fleet.directory.assertOnline(asked.from);
      return this.#place(asked, false);
    });
  }

  /** By its workflow ID, whether it exists or not; with `runId` an earlier one of the same VM. */
  of(id: string, runId?: string): Move {
    const { client, operator, address } = this.#access;
    return new Move({ client, id, ...(runId === undefined ? {} : { runId }), operator, address });
  }

  async find(idOrVm: string, { runId }: { runId?: string }): Promise<Move> {
    const id = await this.resolve(idOrVm);
    if (!id.startsWith('import/')) return this.of(id, runId);
    throw permanent({
      code: 'move-not-found',
      message: `${idOrVm} came by the import ${id}, which is no move`,
      remedy: 'Look at it with `vmferry status`.',
    });
  }

  /** The ID of the move or the import that a person means. Throws `move-not-found`, `move-ambiguous`. */
  async resolve(idOrVm: string): Promise<string> {
    return this.#access.attempt(`find the move or the import ${idOrVm}`, () =>
      this.#resolve(idOrVm),
    );
  }

  async list({ limit = 50 }: { limit?: number }): Promise<MoveSummary[]> {
    return this.#access.attempt('list moves', async () => {
      const found: MoveSummary[] = [];
      for await (const { summary } of this.#works(limit)) found.push(summary);
      return found;
    });
  }

  /** The latest moves and imports first, each with the words that it is found by. */
  async *#works(most: number): AsyncGenerator<{ summary: MoveSummary; names: string[] }> {
    const query = `WorkflowType IN ('${workflowTypes.migrateVm}', '${workflowTypes.importVm}')`;
    let seen = 0;
    for await (const one of this.#access.client.workflow.list({ query })) {
      const attributes = one.typedSearchAttributes;
      const vmName = attributes.get(moveKeys.vmName) ?? '';
      const alsoNamed = (one.memo?.[memoNames.alsoNamed] ?? []) as string[];
      const summary: MoveSummary = {
        id: one.workflowId,
        runId: one.runId,
        vmName,
        source: attributes.get(moveKeys.sourceHost) ?? '',
        target: attributes.get(moveKeys.targetHost) ?? '',
        phase: attributes.get(moveKeys.phase) ?? one.status.name.toLowerCase(),
        startedAt: one.startTime.toISOString(),
        ...(one.closeTime === undefined ? {} : { endedAt: one.closeTime.toISOString() }),
      };
      yield { summary, names: [vmName, ...alsoNamed] };
      seen += 1;
      if (seen >= most) return;
    }
  }

  /**
   * What is asked, with the VM looked up, so that the workflow's ID can name it, and with a host chosen where none is
   * named; `reserve` promises the VM its room there.
   */
  async #inputFor(
    asked: MigrateRequest,
    { reserve }: { reserve: boolean },
  ): Promise<MigrateVmInput> {
    const { directory } = this.#fleet;
    const named = withDefaults(asked, this.#access.operator);
    if (named.from === named.to) {
      const { name } = await this.#fleet.findVm(named.from, named.vm);
      throw sameHost(name, named.to);
    }
    const addressOf = async (host: string): Promise<string | undefined> =>
      named.live === undefined
        ? undefined
        : (await directory.remembered(host)).announcement?.migrationAddress;
    const [{ name, uuid, state }, addressOfNamed] = await Promise.all([
      this.#fleet.findVm(named.from, named.vm),
      named.to === ''
        ? undefined
        : Promise.all([addressOf(named.to), directory.assertOnline(named.to)]).then(([at]) => at),
    ]);
    const placed =
      named.to === '' ? await this.#placed({ asked, named, uuid, name }, reserve) : undefined;
    const request = { ...named, to: placed?.chosen ?? named.to };
    const address = placed === undefined ? addressOfNamed : await addressOf(request.to);
    return {
      cluster: this.#access.cluster,
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
    if (reserve) await this.#assertNone(uuid, name);
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

  async #assertNone(uuid: string, name: string): Promise<void> {
    const workflowId = moveId(this.#access.cluster, uuid);
    if (await this.#runs(workflowId)) throw alreadyRunning({ workflowId }, name);
  }

  async #runs(workflowId: string): Promise<boolean> {
    try {
      const { status } = await this.#access.client.workflow.getHandle(workflowId).describe();
      return status.name === 'RUNNING';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  #place(asked: PlaceRequest, reserve: boolean): Promise<PlannedPlace> {
    const input = placeInput(asked, { cluster: this.#access.cluster, reserve });
    const what = `choose a host for ${asked.vm}`;
    return this.#access.read<PlannedPlace>(workflowTypes.place, input, what);
  }

  async #start(input: MigrateVmInput): Promise<Move> {
    const { vm } = input;
    const id = moveId(this.#access.cluster, vm.uuid);
    try {
      await this.#access.client.workflow.start(workflowTypes.migrateVm, {
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
    return this.of(id);
  }

  async #resolve(idOrVm: string): Promise<string> {
    if (idOrVm.startsWith('migrate/') || idOrVm.startsWith('import/')) return idOrVm;
    const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(idOrVm);
    const word = isUuid ? idOrVm.toLowerCase() : idOrVm;
    const ofUuid = isUuid ? moveId(this.#access.cluster, word) : undefined;
    // The list is a moment behind; a move's own ID is not.
    if (ofUuid !== undefined && (await this.#runs(ofUuid))) return ofUuid;
    const named: MoveSummary[] = [];
    for await (const { summary, names } of this.#works(mostLookedAt))
      if (summary.id === ofUuid || names.includes(word)) named.push(summary);
    const open = named.filter(({ endedAt }) => endedAt === undefined);
    // An order to the wrong one of two would be grave; among moves that are over, the latest is meant.
    const ids = [...new Set((open.length > 0 ? open : named.slice(0, 1)).map(({ id }) => id))];
    const [only] = ids;
    if (ids.length > 1) {
      throw permanent({
        code: 'move-ambiguous',
        message: `${ids.length} VMs named ${idOrVm} are being moved or imported: ${ids.join(', ')}`,
        remedy: 'Name the one that is meant by its ID, or the VM by its UUID.',
      });
    }
    if (only !== undefined) return only;
    if (ofUuid !== undefined) return ofUuid;
    throw permanent({
      code: 'move-not-found',
      message: `no move or import of a VM named ${idOrVm} is known`,
      remedy: 'List moves and imports with `vmferry status`.',
    });
  }
}
