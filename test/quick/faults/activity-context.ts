import { AsyncLocalStorage } from 'node:async_hooks';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';

/** What `Context.current()` of `@temporalio/activity` gives in an attempt. */
export const contexts = new AsyncLocalStorage<{ signal: AbortSignal }>();
export const activityModule = {
  ApplicationFailure,
  CancelledFailure,
  Context: {
    current: () => ({
      heartbeat: () => undefined,
      cancellationSignal: contexts.getStore()?.signal ?? new AbortController().signal,
      cancellationDetails: undefined,
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    }),
  },
};
