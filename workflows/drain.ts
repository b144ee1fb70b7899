/**
 * Empties a host: marks it, so that nothing comes in meanwhile, and takes its VMs away, some at a time, each by a move of
 * its own. What comes up or goes while it runs is seen by looking again; it ends when a look finds nothing more to do.
 */
import {
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  log,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import * as boards from '../domain/drain/board.ts';
import { DrainState } from '../domain/drain/drain.ts';
import type { DrainLine, DrainReport } from '../domain/drain/drain.ts';
import { Handling } from '../domain/errors.ts';
import { signalNames } from './contract.ts';
import type { CancelOrder, DrainInput } from './contract.ts';
import { letGo, moveAway } from './drain-move.ts';
import { DrainRecord } from './drain-record.ts';
import { failureOf, faultOf, isCancellation } from './faults.ts';
import { controlActivities } from './on-control.ts';
import { activitiesOf, limits } from './on-host.ts';

/** A VM takes some 25 events; Temporal warns at 10,240. */
const mostEvents = 4_000;
const lookEveryMs = 5 * 60_000;
/** Where VMs wait: each look or try costs some ten events, so that they become rarer while nothing changes. */
const shortestWaitMs = 5_000;
const longestWaitMs = 2 * 60_000;
/** A move that was cancelled undoes what it did; what takes longer goes on without the drain. */
const stopLimitMs = 3_600_000;
const mostCalls = 5;

export async function drain(input: DrainInput): Promise<DrainReport> {
  const record = new DrainRecord(input);
  try {
    if (input.carried === undefined) await mark(record);
    record.enter('moving');
    await empty(record);
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(() => stop(record));
    record.enter('cancelled');
    return record.report;
  }
  record.enter('done');
  return record.report;
}

/** Nothing is placed on the host from here on, until a person says `undrain`. */
async function mark(record: DrainRecord): Promise<void> {
  const { cluster, host, request } = record.input;
  await persist(record, 'mark the host as draining', () =>
    controlActivities(`${host}: mark as draining`).setHost({
      cluster,
      host,
      order: { draining: true, operator: request.operator },
    }),
  );
}

/** Tries until it works; ends the drain by what no try mends. Meanwhile the report shows what is in the way. */
async function persist<T>(record: DrainRecord, what: string, act: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const result = await act();
      delete record.report.trouble;
      return result;
    } catch (error) {
      if (isCancellation(error)) throw error;
      const fault = faultOf(error, { host: record.input.host, what });
      if (fault.handling === Handling.permanent) throw failureOf(fault);
      record.report.trouble = fault;
      await sleep(Math.min(longestWaitMs, shortestWaitMs * 2 ** Math.min(attempt, 8)));
    }
  }
}

async function look(record: DrainRecord): Promise<void> {
  const { host } = record.input;
  const what = 'list its VMs';
  const vms = await persist(record, what, () =>
    activitiesOf(host, `${host}: ${what}`, limits.check).listVms(),
  );
  const now = new Date().toISOString();
  record.change((board) => boards.seen(board, vms, { host, now }));
}

async function empty(record: DrainRecord): Promise<void> {
  const { parallel } = record.input.request;
  let lookDueMs = 0;
  let retryDueMs = 0;
  let waitMs = shortestWaitMs;
  let overBefore = 0;
  for (let turn = 0; ;) {
    const full = isFull();
    if (full && !boards.isMoving(record.board)) await goOn(record);
    const over = boards.overCount(record.board);
    if (over !== overBefore) waitMs = shortestWaitMs;
    const retry = over !== overBefore || Date.now() >= retryDueMs;
    if (retry) {
      overBefore = over;
      turn += 1;
      retryDueMs = Date.now() + waitMs;
      waitMs = Math.min(longestWaitMs, waitMs * 2);
    }
    if (Date.now() >= lookDueMs || (retry && isHeldByOthers(record))) {
      await look(record);
      lookDueMs = Date.now() + lookEveryMs;
    }
    record.change((board) => boards.givenUp(board, Date.now(), record.input.request));
    for (const line of boards.mayGo(record.board, parallel)) letGo(record, line);
    if (!full) {
      const begin = (lines: readonly DrainLine[], ahead: boolean): void => {
        for (const line of lines)
          moveAway(record, line, ahead).catch((error: unknown) => record.broke(error));
      };
      begin(boards.nextUp(record.board, parallel, retry ? turn : undefined), false);
      begin(boards.toPrepare(record.board, parallel), true);
    }
    if (isOver(record)) {
      await look(record);
      if (isOver(record)) return;
      continue;
    }
    const seen = record.changes;
    const limitMs = isBlocked(record) ? Math.max(1, retryDueMs - Date.now()) : lookEveryMs;
    await condition(() => record.changes !== seen, limitMs);
    record.throwIfBroken();
  }
}

const isOver = ({ board }: DrainRecord): boolean =>
  !boards.isMoving(board) && !boards.isWaiting(board);

const isBlocked = ({ board }: DrainRecord): boolean =>
  board.some(({ blocked }) => blocked !== undefined);

const isHeldByOthers = ({ board }: DrainRecord): boolean =>
  board.some(({ state, blocked }) => state === DrainState.waiting && blocked?.by === 'guard');

const isFull = (): boolean => {
  const { historyLength, continueAsNewSuggested } = workflowInfo();
  return continueAsNewSuggested || historyLength > mostEvents;
};

/** In a new run, with an empty history. Only while no move is under way: a new run does not hear how those end. */
const goOn = ({ input, board, report }: DrainRecord): Promise<never> =>
  continueAsNew<typeof drain>({
    ...input,
    carried: { vms: [...board], startedAt: report.startedAt },
  });

/** Asks the moves under way to come back; those past their cutover end well, whatever they are asked. */
async function stop(record: DrainRecord): Promise<void> {
  record.enter('stopping');
  for (const { uuid, state } of record.board) {
    if (state === DrainState.waiting)
      record.change((board) => boards.isLeft(board, uuid, 'the drain was cancelled'));
  }
  const underWay = record.board.filter(boards.isUnderWay);
  await Promise.all(underWay.map(({ uuid, moveId = '' }) => callBack(record, uuid, moveId)));
  await condition(() => !boards.isMoving(record.board), stopLimitMs);
}

/** A move that was begun this very moment may not be there yet. */
async function callBack(record: DrainRecord, uuid: string, moveId: string): Promise<void> {
  const order: CancelOrder = { operator: record.report.cancelledBy ?? '' };
  const move = getExternalWorkflowHandle(moveId);
  const isUnderWay = (): boolean =>
    record.board.some((line) => line.uuid === uuid && boards.isUnderWay(line));
  for (let attempt = 1; attempt <= mostCalls && moveId !== '' && isUnderWay(); attempt += 1) {
    try {
      await move.signal(signalNames.cancelling, order);
      await move.cancel();
      return;
    } catch (error) {
      log.info('a move could not be called back', { moveId, error: String(error) });
      await sleep(1_000);
    }
  }
}
