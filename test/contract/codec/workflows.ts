import {
  ActivityCancellationType,
  ApplicationFailure,
  proxyActivities,
  defineSignal,
  setHandler,
  condition,
} from '@temporalio/workflow';

const { fail } = proxyActivities<{ fail(secret: string): Promise<void> }>({
  startToCloseTimeout: '10 s',
  retry: { maximumAttempts: 1 },
});

const { fail: failNowhere } = proxyActivities<{ fail(secret: string): Promise<void> }>({
  taskQueue: 'nobody-listens',
  startToCloseTimeout: '10 s',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});

/** Waits for an activity that no worker picks up. */
export async function unheard(): Promise<void> {
  await failNowhere('');
}

/** Passes the secret through an activity's argument and failure, and through its own failure. */
export async function leaky(secret: string): Promise<void> {
  await fail(secret).catch(() => undefined);
  throw ApplicationFailure.nonRetryable(`workflow failed with ${secret}`, 'Leaky', secret);
}

/** Ends with what the signal brought. */
export async function waits(): Promise<string> {
  let got: string | undefined;
  setHandler(defineSignal<[string]>('tell'), (word) => {
    got = word;
  });
  await condition(() => got !== undefined);
  return got ?? '';
}
