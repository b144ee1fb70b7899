import {
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
} from '@temporalio/workflow';
import { ImportPhase, isImportEnd } from '../domain/import.ts';
import type { ImportReport } from '../domain/import.ts';
import type { GivenOrder } from '../domain/move.ts';
import type { CancelOrder, CommitOrder, RetryOrder, RollbackOrder, TuneOrder } from './contract.ts';
import { queryNames, signalNames, updateNames } from './contract.ts';
import type { ImportRecord } from './import-record.ts';

const reportQuery = defineQuery<ImportReport>(queryNames.report);
const commitUpdate = defineUpdate<ImportPhase, [CommitOrder]>(updateNames.commit);
const rollbackUpdate = defineUpdate<ImportPhase, [RollbackOrder]>(updateNames.rollback);
const retryUpdate = defineUpdate<ImportPhase, [RetryOrder]>(updateNames.retry);
const tuneUpdate = defineUpdate<boolean, [TuneOrder]>(updateNames.tune);
const cancellingSignal = defineSignal<[CancelOrder]>(signalNames.cancelling);

const mostOrdersKept = 100;
/** Between the cutover and the start a person may give up, too: the target may not be able to start the VM. */
const canGoBackFrom: readonly (ImportPhase | undefined)[] = [
  ImportPhase.cuttingOver,
  ImportPhase.starting,
];

/** What people tell an import while it runs; refused at once, with the reason, where it makes no sense. */
export class ImportOrders {
  #verdict: 'commit' | 'rollback' | undefined;
  #retries = 0;
  #gaveUp = false;
  /** What changes the cap of the import; absent until it has begun. */
  tuner: ((order: TuneOrder) => Promise<boolean>) | undefined;
  readonly #record: ImportRecord;

  constructor(record: ImportRecord) {
    this.#record = record;
    setHandler(reportQuery, () => record.report);
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

  /** As `Orders.whileParked` of a move. */
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
  async verdict(limitMs: number): Promise<'commit' | 'rollback' | undefined> {
    await condition(() => this.#verdict !== undefined, limitMs);
    return this.#verdict;
  }

  #decide(verdict: 'commit' | 'rollback', order: CommitOrder): ImportPhase {
    this.#note(verdict, order);
    this.#verdict = verdict;
    return this.#record.report.phase;
  }

  #rollBack(order: RollbackOrder): ImportPhase {
    const { phase } = this.#record.report;
    if (phase !== ImportPhase.parked) return this.#decide('rollback', order);
    this.#note('rollback', order);
    this.#gaveUp = true;
    return phase;
  }

  #retry(order: RetryOrder): ImportPhase {
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
    if (isImportEnd(phase)) throw new Error(`nothing to change: the import is ${phase}`);
    if (maxDowntimeMs !== undefined) throw new Error('an import has no pause to be limited');
    if (bandwidthBytesPerSecond === undefined)
      throw new Error('nothing to change: no limit was named');
    if (!Number.isSafeInteger(bandwidthBytesPerSecond) || bandwidthBytesPerSecond < 0)
      throw new Error(`${bandwidthBytesPerSecond} is no limit`);
  }

  /** Who said what, for the report. */
  #note(order: GivenOrder['order'], { operator }: CommitOrder): void {
    const { report } = this.#record;
    const given = { order, operator, at: new Date().toISOString() };
    report.orders = [...(report.orders ?? []), given].slice(-mostOrdersKept);
  }

  #refuseUnlessParked(): void {
    const { phase } = this.#record.report;
    if (phase === ImportPhase.parked) return;
    throw new Error(`nothing to retry: the import is ${phase}, not parked`);
  }

  #refuseUnlessAwaitingCommit(order: string): void {
    const { phase } = this.#record.report;
    if (phase === ImportPhase.awaitingCommit && this.#verdict === undefined) return;
    throw new Error(
      `cannot ${order}: the import is ${this.#verdict ?? phase}, not awaiting commit`,
    );
  }

  #validateRollback({ discardTargetWrites }: RollbackOrder): void {
    const { phase, parkedIn, targetRunning, vm, target } = this.#record.report;
    const stuck = phase === ImportPhase.parked && canGoBackFrom.includes(parkedIn);
    if (!stuck) this.#refuseUnlessAwaitingCommit('roll back');
    if (!targetRunning || discardTargetWrites) return;
    throw new Error(
      `${vm.name} has run on ${target}; going back deletes it there with what it wrote. Say so with --discard-target-writes`,
    );
  }
}
