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

/** Tells the workflow that started a move, if one did, that it rests: whoever empties a host has to know of it. */
export function tellOfRest({ id, phase, mode, fault }: MoveReport): void {
  if (!restsIn.includes(phase)) return;
  tellParent({ id, phase, mode, ...(fault === undefined ? {} : { fault }) });
}

/** Tells it that the guest is at its target and that both hosts may turn to the next; there is more to do with this one. */
export function tellOfArrival({ id, phase, mode }: MoveReport): void {
  tellParent({ id, phase, mode, arrived: true });
}

/** By workflow ID, so that it reaches a parent that has continued as new; a parent that is over needs no news. */
function tellParent(news: MoveNews): void {
  const { parent } = workflowInfo();
  if (parent === undefined) return;
  // Also of a move that is being cancelled.
  CancellationScope.nonCancellable(() =>
    getExternalWorkflowHandle(parent.workflowId).signal(signalNames.moveNews, news),
  ).catch((error: unknown) => {
    log.info('nobody hears of this move', { parent: parent.workflowId, error: String(error) });
  });
}
