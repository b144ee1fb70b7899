import {
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
} from '@temporalio/workflow';
import type { GivenOrder, PipelineReport } from '../domain/pipeline.ts';
import type { CancelOrder, CommitOrder, RetryOrder, RollbackOrder, TuneOrder } from './contract.ts';
import { queryNames, signalNames, updateNames } from './contract.ts';

const reportQuery = defineQuery<PipelineReport>(queryNames.report);
const commitUpdate = defineUpdate<string, [CommitOrder]>(updateNames.commit);
const rollbackUpdate = defineUpdate<string, [RollbackOrder]>(updateNames.rollback);
const retryUpdate = defineUpdate<string, [RetryOrder]>(updateNames.retry);
const tuneUpdate = defineUpdate<boolean, [TuneOrder]>(updateNames.tune);
const cancellingSignal = defineSignal<[CancelOrder]>(signalNames.cancelling);

/** What is retried for a year must not fill its report. */
const mostOrdersKept = 100;

/** Between the cutover and the start a person may give up, too: the target may not be able to start the VM. */
const canGoBackFrom: readonly (string | undefined)[] = ['cutting-over', 'starting'];

export type Verdict = 'commit' | 'rollback';

/** What people tell a move or an import while it runs; each order is refused at once, with the reason, where it makes no sense. */
export abstract class PipelineOrders<R extends PipelineReport> {
  #verdict: Verdict | undefined;
  #retries = 0;
  #gaveUp = false;
  /** What changes the limits of what is under way; absent until it has begun. */
  tuner: ((order: TuneOrder) => Promise<boolean>) | undefined;
  protected readonly report: R;
  /** `move`, for messages. */
  readonly #what: string;

  constructor({ report }: { report: R }, what: string) {
    this.report = report;
    this.#what = what;
    setHandler(reportQuery, () => report);
    setHandler(commitUpdate, (order) => this.#decide('commit', order), {
      validator: (_order): void => this.#refuseUnlessAwaitingCommit('commit'),
    });
    setHandler(rollbackUpdate, (order) => this.#rollBack(order), {
      validator: (order: RollbackOrder): void => this.#validateRollback(order),
    });
    setHandler(retryUpdate, (order) => this.#retry(order), {
      validator: (_order): void => this.#refuseUnlessParked(),
    });
    setHandler(tuneUpdate, (order) => this.#tune(order), {
      validator: (order: TuneOrder): void => this.#validateTune(order),
    });
    setHandler(cancellingSignal, (order) => this.#note('cancel', order));
  }

  /** Whether nothing can be told any more. */
  protected abstract isOver(): boolean;
  /** What is lost by going back, a sentence without its full stop; undefined if nothing is. */
  protected abstract lostByGoingBack(): string | undefined;
  /** Throws where a pause of so many ms cannot be asked for. */
  protected abstract validatePause(maxDowntimeMs: number): void;

  /** Waits until a person says `retry`, or, between cutover and start, `rollback`; or until `limitMs` passed. */
  async whileParked(limitMs: number): Promise<'retry' | 'rollback' | 'time'> {
    const seen = this.#retries;
    await condition(() => this.#retries > seen || this.#gaveUp, limitMs);
    if (this.#gaveUp) {
      this.#gaveUp = false;
      return 'rollback';
    }
    return this.#retries > seen ? 'retry' : 'time';
  }

  /** Waits for commit or rollback; undefined once `limitMs` passed. */
  async verdict(limitMs: number): Promise<Verdict | undefined> {
    await condition(() => this.#verdict !== undefined, limitMs);
    return this.#verdict;
  }

  #decide(verdict: Verdict, order: CommitOrder): string {
    this.#note(verdict, order);
    this.#verdict = verdict;
    return this.report.phase;
  }

  #rollBack(order: RollbackOrder): string {
    const { phase } = this.report;
    if (phase !== 'parked') return this.#decide('rollback', order);
    this.#note('rollback', order);
    this.#gaveUp = true;
    return phase;
  }

  #retry(order?: RetryOrder): string {
    this.#note('retry', order);
    this.#retries += 1;
    return this.report.phase;
  }

  async #tune(order: TuneOrder): Promise<boolean> {
    this.#note('tune', order);
    return (await this.tuner?.(order)) ?? false;
  }

  #validateTune({ bandwidthBytesPerSecond, maxDowntimeMs }: TuneOrder): void {
    if (this.isOver())
      throw new Error(`nothing to change: the ${this.#what} is ${this.report.phase}`);
    if (bandwidthBytesPerSecond === undefined && maxDowntimeMs === undefined)
      throw new Error('nothing to change: no limit was named');
    for (const value of [bandwidthBytesPerSecond ?? 0, maxDowntimeMs ?? 1])
      if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} is no limit`);
    if (maxDowntimeMs !== undefined) this.validatePause(maxDowntimeMs);
  }

  /** Who said what, for the report. */
  #note(order: GivenOrder['order'], by?: { operator?: string }): void {
    const given = { order, operator: by?.operator ?? '', at: new Date().toISOString() };
    this.report.orders = [...(this.report.orders ?? []), given].slice(-mostOrdersKept);
  }

  #refuseUnlessParked(): void {
    const { phase } = this.report;
    if (phase === 'parked') return;
    throw new Error(`nothing to retry: the ${this.#what} is ${phase}, not parked`);
  }

  #refuseUnlessAwaitingCommit(order: string): void {
    const { phase } = this.report;
    if (phase === 'awaiting-commit' && this.#verdict === undefined) return;
    throw new Error(
      `cannot ${order}: the ${this.#what} is ${this.#verdict ?? phase}, not awaiting commit`,
    );
  }

  #validateRollback({ discardTargetWrites }: RollbackOrder): void {
    const { phase, parkedIn } = this.report;
    // A target that cannot start the VM must not keep it from its source.
    const stuck = phase === 'parked' && canGoBackFrom.includes(parkedIn);
    if (!stuck) this.#refuseUnlessAwaitingCommit('roll back');
    const lost = this.lostByGoingBack();
    if (lost === undefined || discardTargetWrites) return;
    throw new Error(`${lost}. Say so with --discard-target-writes`);
  }
}
