import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { ControlActivities } from '../activities/control/contract.ts';
import { controlQueue } from './contract.ts';

interface Patience {
  /** How long a worker that died with the question in hand goes unnoticed. */
  attempt?: '10s' | '30s';
  /** How long what is transient is tried again. */
  inAll?: '2m' | '1h';
}

/**
 * Asks the hosts' entities through the control worker, with what the UI shows of it. No local activity, though the same
 * worker runs the workflows: docs/decisions/0013-no-local-activities.md.
 */
export const controlActivities = (
  summary: string,
  { attempt = '10s', inAll = '2m' }: Patience = {},
): ControlActivities =>
  proxyActivities<ControlActivities>({
    taskQueue: controlQueue,
    startToCloseTimeout: attempt,
    scheduleToCloseTimeout: inAll,
    retry: { initialInterval: '500ms', maximumInterval: '10s' },
    // Places that a question takes while it is called off are given back after its answer, not before.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary,
  });
