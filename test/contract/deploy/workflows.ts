import { proxyActivities } from '@temporalio/workflow';
import type { held } from './renewed-certificate.test.ts';

const activities = proxyActivities<{ held: typeof held }>({
  startToCloseTimeout: 60_000,
  heartbeatTimeout: 10_000,
  retry: { maximumAttempts: 1 },
});

/** One activity, once: it may be held up for as long as the test wants. */
export async function asks(word: string): Promise<string> {
  return activities.held(word);
}
