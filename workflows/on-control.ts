import {
  ActivityCancellationType,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { ControlActivities } from '../activities/control/contract.ts';
import { controlQueue } from './contract.ts';

/**
 * Asks the hosts' entities through the control worker, beside all else, with what the UI shows of it. What is transient
 * is tried again, for two minutes; a worker that died with the question in hand is found out after ten seconds.
 */
export const controlActivities = (summary: string): ControlActivities =>
  proxyActivities<ControlActivities>({
    taskQueue: controlQueue,
    startToCloseTimeout: '10s',
    scheduleToCloseTimeout: '2m',
    retry: { initialInterval: '500ms', maximumInterval: '10s' },
    summary,
  });

/** What was asked within tasks of this workflow so far: the next one goes after it. */
let askedBefore: Promise<unknown> = Promise.resolve();

/**
 * The same within a task of the workflow, for what all the rest waits for: the worker that runs workflows is the one
 * that serves these verbs, and needs no way through Temporal to itself. Whatever else the task has asked for begins only
 * after it. What is transient is tried for as long as `patience`.
 *
 * One at a time in a workflow: where several are under way a replay hands their answers over together that came one by
 * one, and what follows from each takes another order than in the history (temporalio/sdk-python#1881; seen with drains
 * of several VMs at a time under SDK 1.24).
 */
export function controlAtOnce<T>(
  summary: string,
  ask: (control: ControlActivities) => Promise<T>,
  patience: '2m' | '1h' = '2m',
): Promise<T> {
  const control = proxyLocalActivities<ControlActivities>({
    startToCloseTimeout: '30s',
    scheduleToCloseTimeout: patience,
    retry: { initialInterval: '500ms', maximumInterval: '10s' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary,
  });
  const answer = askedBefore.then(() => ask(control));
  askedBefore = answer.catch(() => undefined);
  return answer;
}
