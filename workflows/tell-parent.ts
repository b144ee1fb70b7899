import {
  CancellationScope,
  getExternalWorkflowHandle,
  log,
  workflowInfo,
} from '@temporalio/workflow';
import { Phase } from '../domain/move.ts';
import type { MoveReport } from '../domain/move.ts';
import { signalNames } from './contract.ts';
import type { MoveNews } from './contract.ts';

/** Where a move needs nothing of its host any more, or cannot go on by itself. */
const restsIn: readonly Phase[] = [Phase.awaitingCommit, Phase.parked];

/**
 * Tells the workflow that started a move, if one did, that it rests, or goes on from a rest: a move that awaits its
 * commit is not over, and whoever empties a host has to know of it. By workflow ID, so that it reaches a parent that has
 * continued as new; a parent that is over needs no news.
 */
export function tellParent(report: MoveReport, before: Phase): void {
  const { parent } = workflowInfo();
  if (parent === undefined) return;
  if (!restsIn.includes(report.phase) && !restsIn.includes(before)) return;
  const { id, phase, vmOn, mode, fault } = report;
  const news: MoveNews = { id, phase, vmOn, mode, ...(fault === undefined ? {} : { fault }) };
  // Also of a move that is being cancelled.
  CancellationScope.nonCancellable(() =>
    getExternalWorkflowHandle(parent.workflowId).signal(signalNames.moveNews, news),
  ).catch((error: unknown) => {
    log.info('nobody hears of this move', { parent: parent.workflowId, error: String(error) });
  });
}
