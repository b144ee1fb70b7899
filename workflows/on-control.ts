import { proxyActivities } from '@temporalio/workflow';
import type { ControlActivities } from '../activities/control/contract.ts';
import { controlQueue } from './contract.ts';

/** Asks the hosts' entities through the control worker, with what the UI shows of it. What is transient is tried again. */
export const controlActivities = (summary: string): ControlActivities =>
  proxyActivities<ControlActivities>({
    taskQueue: controlQueue,
    startToCloseTimeout: '30s',
    scheduleToCloseTimeout: '2m',
    retry: { initialInterval: '500ms', maximumInterval: '10s', maximumAttempts: 5 },
    summary,
  });
