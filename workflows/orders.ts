import {
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
} from '@temporalio/workflow';
import { isEnd, Phase } from '../domain/move.ts';
import type { GivenOrder, MoveReport } from '../domain/move.ts';
import type { CancelOrder, CommitOrder, RetryOrder, RollbackOrder, TuneOrder } from './contract.ts';
import { queryNames, signalNames, updateNames } from './contract.ts';
import type { MoveRecord } from './move-record.ts';

const reportQuery = defineQuery<MoveReport>(queryNames.report);
const commitUpdate = defineUpdate<Phase, [CommitOrder]>(updateNames.commit);
const rollbackUpdate = defineUpdate<Phase, [RollbackOrder]>(updateNames.rollback);
const retryUpdate = defineUpdate<Phase, [RetryOrder]>(updateNames.retry);
const tuneUpdate = defineUpdate<boolean, [TuneOrder]>(updateNames.tune);
const cancellingSignal = defineSignal<[CancelOrder]>(signalNames.cancelling);

/** A move that is retried for a year must not fill its report. */
const mostOrdersKept = 100;

export type Verdict = { kind: 'commit' } | { kind: 'rollback'; discardTargetWrites: boolean };

/** What people tell a move while it runs; each order is refused at once, with the reason, where it makes no sense. */
export class Orders {
  #verdict: Verdict | undefined;
  #retries = 0;
  #gaveUp = false;
  /** What changes the limits of the move; absent until it has begun. */
  tuner: ((order: TuneOrder) => Promise<boolean>) | undefined;
  readonly #record: MoveRecord;

  constructor(record: MoveRecord) {
    this.#record = record;
    setHandler(reportQuery, () => record.report);
    setHandler(commitUpdate, (order) => this.#decide({ kind: 'commit' }, order), {
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

  #decide(verdict: Verdict, order: CommitOrder): Phase {
    this.#note(verdict.kind, order);
    this.#verdict = verdict;
    return this.#record.report.phase;
  }

  #rollBack(order: RollbackOrder): Phase {
    const { discardTargetWrites } = order;
    const { phase } = this.#record.report;
    if (phase !== Phase.parked)
      return this.#decide({ kind: 'rollback', discardTargetWrites }, order);
    this.#note('rollback', order);
    this.#gaveUp = true;
    return phase;
  }

  #retry(order?: RetryOrder): Phase {
    this.#note('retry', order);
    this.#retries += 1;
    return this.#record.report.phase;
  }

  async #tune(order: TuneOrder): Promise<boolean> {
    this.#note('tune', order);
    return (await this.tuner?.(order)) ?? false;
  }

  #validateTune({ bandwidthBytesPerSecond, maxDowntimeMs }: TuneOrder): void {
    const { phase } = this.#record.report;
    if (isEnd(phase)) throw new Error(`nothing to change: the move is ${phase}`);
    if (bandwidthBytesPerSecond === undefined && maxDowntimeMs === undefined)
      throw new Error('nothing to change: no limit was named');
    for (const value of [bandwidthBytesPerSecond ?? 0, maxDowntimeMs ?? 1])
      if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} is no limit`);
    if (maxDowntimeMs !== undefined && (maxDowntimeMs < 1 || maxDowntimeMs > 2_000_000))
      throw new Error(`a pause of ${maxDowntimeMs} ms cannot be asked for: 1 to 2000000`);
  }

  /** Who said what, for the report. */
  #note(order: GivenOrder['order'], by?: { operator?: string }): void {
    const { report } = this.#record;
    const given = { order, operator: by?.operator ?? '', at: new Date().toISOString() };
    report.orders = [...(report.orders ?? []), given].slice(-mostOrdersKept);
  }

  #refuseUnlessParked(): void {
    const { phase } = this.#record.report;
    if (phase !== Phase.parked)
      throw new Error(`nothing to retry: the move is ${phase}, not parked`);
  }

  #refuseUnlessAwaitingCommit(order: string): void {
    const { phase } = this.#record.report;
    if (phase !== Phase.awaitingCommit || this.#verdict !== undefined) {
      throw new Error(
        `cannot ${order}: the move is ${this.#verdict?.kind ?? phase}, not awaiting commit`,
      );
    }
  }

  #validateRollback(order: RollbackOrder): void {
    const { report } = this.#record;
    // A target that cannot start the VM must not keep it from its source.
    const stuck = report.phase === Phase.parked && canGoBackFrom.includes(report.parkedIn);
    if (!stuck) this.#refuseUnlessAwaitingCommit('roll back');
    if (report.vmRunning && !order.discardTargetWrites) {
      const minutes = Math.max(1, Math.round((Date.now() - ranSince(report)) / 60_000));
      throw new Error(
        `${report.vm.name} has run on ${report.target} for about ${minutes} min; going back loses what it wrote there. Say so with --discard-target-writes`,
      );
    }
  }
}

const canGoBackFrom: readonly (Phase | undefined)[] = [Phase.cuttingOver, Phase.starting];

const ranSince = (report: MoveReport): number => {
  const steps = report.steps.filter(({ name }) => name === 'start' || name === 'live');
  const ended = steps.findLast(({ endedAt }) => endedAt !== undefined)?.endedAt;
  return ended === undefined ? Date.now() : Date.parse(ended);
};
