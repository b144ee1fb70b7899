import { isGrpcServiceError } from '@temporalio/client';
import type { Client, WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';
import { cancelled, permanent } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import { isEnd, Phase } from '../domain/move.ts';
import type { LiveProgress } from '../domain/live.ts';
import type { DiskProgress, MoveReport } from '../domain/move.ts';
import { memoNames, queryNames, signalNames, updateNames } from '../workflows/contract.ts';
import type {
  CancelOrder,
  CommitOrder,
  CopyHeartbeat,
  LiveHeartbeat,
  MoveStatus,
  RetryOrder,
  RollbackOrder,
  TuneOrder,
} from '../workflows/contract.ts';
import { beatsOf } from './beats.ts';
import { toVmFerryError } from './errors.ts';
import type { ErrorContext } from './errors.ts';
import { HistoryReader } from './story/events.ts';
import type { Story } from './story/story.ts';
import { tellStory } from './story/tell.ts';
import { endOf, watchUntil } from './watch.ts';
import type { WatchOptions } from './watch.ts';

/** One move of one VM, running or over. */
export class Move {
  /** The workflow's ID, `migrate/<cluster>/<vm uuid>`. */
  readonly id: string;
  readonly #client: Client;
  readonly #handle: WorkflowHandle;
  readonly #runId: string | undefined;
  readonly #operator: string;
  readonly #address: string;

  constructor(options: {
    client: Client;
    id: string;
    runId?: string;
    operator: string;
    address: string;
  }) {
    this.id = options.id;
    this.#runId = options.runId;
    this.#client = options.client;
    this.#handle = options.client.workflow.getHandle(options.id, options.runId);
    this.#operator = options.operator;
    this.#address = options.address;
  }

  /** The report as of now, and what the heartbeats of copies and of a live run say. */
  async status(): Promise<MoveStatus> {
    return this.#try('read the move', async () => {
      const described = await this.#handle.describe();
      const last = described.memo?.[memoNames.report] as MoveReport | undefined;
      if (last !== undefined) return { report: last, progress: [] };
      const report = await this.#handle.query<MoveReport>(queryNames.report);
      if (isEnd(report.phase)) return { report, progress: [] };
      return { report, ...(await this.#beats(described)) };
    });
  }

  /**
   * The status again and again, about twice a second, until the move ends, awaits a commit, or parks.
   * A server that is away for a while is waited for, as long as `patienceMs` (60 s by default).
   */
  watch(options: WatchOptions = {}): AsyncIterable<MoveStatus> {
    return watchUntil(
      {
        ask: () => this.status(),
        isLast: ({ report }) => rests(report),
        over: endOf(this.#client, this.#handle),
      },
      options,
    );
  }

  /** Waits for the end, whatever it is, and gives the last report. */
  async result(): Promise<MoveReport> {
    // How it ended stands in the report; a failed or cancelled workflow is an answer here, not an error.
    await this.#handle.result().catch(() => undefined);
    return (await this.status()).report;
  }

  /**
   * What happened, from the history that Temporal keeps: also of a move that is over or was terminated, and while no
   * worker runs. Throws `move-not-found`, also once the history is older than the server keeps them, and what the
   * codec throws where a key is missing.
   */
  async story(): Promise<Story> {
    return this.#try('read the history of', async () => {
      const { events } = await this.#handle.fetchHistory().catch((error: unknown) => {
        throw isAbsence(error) ? this.#noHistory(error) : error;
      });
      const reader = new HistoryReader(this.#client.options.loadedDataConverter);
      const story = tellStory(this.id, await reader.read(events ?? []), Date.now());
      if (story !== undefined) return story;
      throw permanent({
        code: 'story-untellable',
        message: `the history of ${this.id} is not that of a move`,
        remedy: 'List the moves with `vmferry status`.',
      });
    });
  }

  /** Makes the move final: the source's copy is deleted. */
  async commit(): Promise<void> {
    const order: CommitOrder = { operator: this.#operator };
    await this.#try('commit', () =>
      this.#handle.executeUpdate(updateNames.commit, { args: [order] }),
    );
  }

  /** Back to the source. `discardTargetWrites` has to be said where the VM has run on the target. */
  async rollback(options: { discardTargetWrites?: boolean } = {}): Promise<void> {
    const order: RollbackOrder = {
      discardTargetWrites: options.discardTargetWrites ?? false,
      operator: this.#operator,
    };
    await this.#try('roll back', () =>
      this.#handle.executeUpdate(updateNames.rollback, { args: [order] }),
    );
  }

  /** Goes on from where the move parked. */
  async retry(): Promise<void> {
    const order: RetryOrder = { operator: this.#operator };
    await this.#try('retry', () =>
      this.#handle.executeUpdate(updateNames.retry, { args: [order] }),
    );
  }

  /**
   * New limits for a move under way; what is absent stays as it is. Gives whether something that runs now took them;
   * else they hold for what comes. Throws `order-refused` where the move is over.
   */
  async tune(
    limits: Pick<TuneOrder, 'bandwidthBytesPerSecond' | 'maxDowntimeMs'>,
  ): Promise<boolean> {
    const order: TuneOrder = { ...limits, operator: this.#operator };
    return this.#try('tune', () =>
      this.#handle.executeUpdate<boolean, [TuneOrder]>(updateNames.tune, { args: [order] }),
    );
  }

  /** Undoes a move that has not cut over yet. Refused later: then it is `rollback` or `commit`. */
  async cancel(): Promise<void> {
    await this.#try('cancel', async () => {
      const report = await this.#handle.query<MoveReport>(queryNames.report);
      const phase = report.parkedIn ?? report.phase;
      if (isEnd(phase)) {
        throw permanent({
          code: 'order-refused',
          message: `cannot cancel: the move is ${phase}`,
          remedy: 'Nothing is left to cancel.',
        });
      }
      if (pastCancel.includes(phase)) {
        throw cancelled({
          code: 'order-refused',
          message: `cannot cancel: the move is ${phase}, past its cutover`,
          remedy: 'Use `vmferry rollback` to go back to the source, or `vmferry commit`.',
        });
      }
      // Temporal's cancel says nothing of the person behind it. Neither waits for a worker.
      const order: CancelOrder = { operator: this.#operator };
      await this.#handle.signal(signalNames.cancelling, order);
      await this.#handle.cancel();
    });
  }

  #noHistory(cause: unknown): VmFerryError {
    const run = this.#runId === undefined ? '' : `, run ${this.#runId}`;
    return permanent({
      code: 'move-not-found',
      message: `Temporal keeps no history of ${this.id}${run}`,
      remedy:
        'It may be older than the retention of the namespace. List the moves with `vmferry status`.',
      cause,
    });
  }

  /** What the activities that run now said last. */
  async #beats(
    described: WorkflowExecutionDescription,
  ): Promise<{ progress: DiskProgress[]; live?: LiveProgress }> {
    const beats = await beatsOf<CopyHeartbeat & LiveHeartbeat>(this.#client, described);
    const live = beats.findLast((beat) => beat.live !== undefined)?.live;
    const progress = beats.flatMap(({ disks = [] }) => disks);
    return { progress, ...(live === undefined ? {} : { live }) };
  }

  async #try<T>(what: string, run: () => Promise<T>): Promise<T> {
    const context: ErrorContext = { what: `${what} ${this.id}`, address: this.#address };
    try {
      return await run();
    } catch (error) {
      throw toVmFerryError(error, context);
    }
  }
}

// gRPC's INVALID_ARGUMENT (an ID of a run that is none) and NOT_FOUND; the client leaves them as they are here.
const absences: readonly number[] = [3, 5];

const isAbsence = (error: unknown): boolean =>
  isGrpcServiceError(error) && absences.includes(error.code.valueOf());

const pastCancel: readonly Phase[] = [
  Phase.cuttingOver,
  Phase.starting,
  Phase.awaitingCommit,
  Phase.committing,
  Phase.rollingBack,
];

/** Nothing more happens by itself. */
const rests = ({ phase }: MoveReport): boolean =>
  isEnd(phase) || phase === Phase.awaitingCommit || phase === Phase.parked;
