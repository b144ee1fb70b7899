import type { Client, WorkflowHandle } from '@temporalio/client';
import { DrainState } from '../domain/drain/drain.ts';
import type { DrainReport } from '../domain/drain/drain.ts';
import { permanent } from '../domain/errors.ts';
import type { VmSummary } from '../domain/vm.ts';
import { drainId, queryNames, signalNames } from '../workflows/contract.ts';
import type { CancelOrder, MoveStatus } from '../workflows/contract.ts';
import { toVmFerryError } from './errors.ts';
import type { Move } from './move.ts';
import { endOf, watchUntil } from './watch.ts';
import type { WatchOptions } from './watch.ts';

/** Each look asks the moves under way, too, ms. */
const lookEveryMs = 1_000;

/** A drain, and how the moves that are under way stand. */
export interface DrainStatus {
  report: DrainReport;
  /** By workflow ID; a move that does not answer is not in it. */
  moves: Record<string, MoveStatus>;
}

/** What a drain would do with one VM. */
export interface DrainPlanLine {
  uuid: string;
  name: string;
  state: VmSummary['state'];
  /** `stays`: by the policy. `fails`: it would be counted as failed. */
  way: 'live' | 'cold' | 'stays' | 'fails';
  /** With what the VMs before it in the plan take there. */
  to?: string;
  why?: string;
}

export interface DrainPlan {
  host: string;
  vms: DrainPlanLine[];
}

/** The emptying of one host, running or over. */
export class Drain {
  readonly id: string;
  readonly host: string;
  readonly #client: Client;
  readonly #handle: WorkflowHandle;
  readonly #moveOf: (id: string) => Move;
  readonly #operator: string;
  readonly #address: string;

  constructor(options: {
    client: Client;
    cluster: string;
    host: string;
    moveOf: (id: string) => Move;
    operator: string;
    address: string;
  }) {
    this.host = options.host;
    this.id = drainId(options.cluster, options.host);
    this.#client = options.client;
    this.#handle = options.client.workflow.getHandle(this.id);
    this.#moveOf = options.moveOf;
    this.#operator = options.operator;
    this.#address = options.address;
  }

  /** The report as of now. Throws `drain-not-found`, and what a drain that could not begin ended by. */
  async status(): Promise<DrainStatus> {
    return this.#try('read the drain', async () => {
      const { status } = await this.#handle.describe();
      const report =
        status.name === 'RUNNING'
          ? await this.#handle.query<DrainReport>(queryNames.report)
          : ((await this.#handle.result()) as DrainReport);
      const moving = report.vms.filter(({ state }) => state === DrainState.moving);
      const read = moving.map(async ({ moveId = '' }) => {
        // One that is just being begun, or over this moment, has nothing to tell.
        const one =
          moveId === ''
            ? undefined
            : await this.#moveOf(moveId)
                .status()
                .catch(() => undefined);
        return one === undefined ? [] : [[moveId, one] as const];
      });
      return { report, moves: Object.fromEntries((await Promise.all(read)).flat()) };
    });
  }

  /**
   * The status again and again, each second unless told otherwise, until the drain ends. A server that is away for a while is waited
   * for, as long as `patienceMs` (60 s by default).
   */
  watch(options: WatchOptions = {}): AsyncIterable<DrainStatus> {
    return watchUntil(
      {
        ask: () => this.status(),
        isLast: ({ report }) => report.endedAt !== undefined,
        // One that cannot be read because it never was is not waited for.
        mayPass: () => this.#isOpen(),
        over: endOf(this.#client, this.#handle),
      },
      { everyMs: lookEveryMs, ...options },
    );
  }

  /** Asks moves under way to come back and begins no others; the host stays marked. */
  async cancel(): Promise<void> {
    const order: CancelOrder = { operator: this.#operator };
    await this.#try('cancel the drain', async () => {
      if (!(await this.#isOpen())) {
        throw permanent({
          code: 'order-refused',
          message: `cannot cancel: ${this.host} is not being drained`,
          remedy: 'Nothing is left to cancel; `vmferry undrain` lets VMs come to it again.',
          host: this.host,
        });
      }
      await this.#handle.signal(signalNames.cancelling, order);
      await this.#handle.cancel();
    });
  }

  /** Whether it still runs. */
  async #isOpen(): Promise<boolean> {
    try {
      return (await this.#handle.describe()).status.name === 'RUNNING';
    } catch (error) {
      const fault = toVmFerryError(error, { what: 'read the drain', address: this.#address });
      if (fault.code === 'move-not-found') return false;
      if (fault.code === 'temporal-unreachable') return true;
      throw fault;
    }
  }

  async #try<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      const fault = toVmFerryError(error, {
        what: `${what} of ${this.host}`,
        address: this.#address,
      });
      if (fault.code !== 'move-not-found') throw fault;
      throw permanent({
        code: 'drain-not-found',
        message: `${this.host} was not drained, or so long ago that Temporal has forgotten`,
        remedy: `Begin with \`vmferry drain ${this.host}\`.`,
        host: this.host,
        cause: error,
      });
    }
  }
}
