/** Something that runs in Temporal, asked again and again until it is over. */
import { WorkflowFailedError } from '@temporalio/client';
import type { Client, WorkflowHandle } from '@temporalio/client';

const pollMs = 500;
const defaultPatienceMs = 60_000;

export interface WatchOptions {
  /** Ends the watch without a word. */
  signal?: AbortSignal;
  /** Between two questions, ms; half a second by default. */
  everyMs?: number;
  /** How long a server that is away is waited for, ms; 60 s by default. */
  patienceMs?: number;
}

/**
 * What `ask` gives, about twice a second unless told otherwise, until `isLast` says so. `over` resolves at the end of
 * what is watched, so that this is heard at once; where it fails, or tells nothing, the next question finds out. Throws
 * the error of `ask` once nothing was answered for as long as patience lasts, or at once where `mayPass` says that
 * waiting is of no use.
 */
export async function* watchUntil<Status>(
  {
    ask,
    isLast,
    mayPass = () => Promise.resolve(true),
    over = () => new Promise(() => undefined),
  }: {
    ask: () => Promise<Status>;
    isLast: (status: Status) => boolean;
    mayPass?: () => Promise<boolean>;
    over?: (signal: AbortSignal) => Promise<unknown>;
  },
  { signal, everyMs = pollMs, patienceMs = defaultPatienceMs }: WatchOptions,
): AsyncGenerator<Status, void, undefined> {
  let lastAnswerMs = Date.now();
  const left = new AbortController();
  const end = new AbortController();
  over(left.signal).then(
    () => end.abort(),
    () => undefined,
  );
  try {
    while (signal?.aborted !== true) {
      // Only an end that comes after the question is news.
      const wakes = end.signal.aborted ? [] : [end.signal];
      try {
        const status = await ask();
        lastAnswerMs = Date.now();
        yield status;
        if (isLast(status)) return;
      } catch (error) {
        if (Date.now() - lastAnswerMs > patienceMs || !(await mayPass())) throw error;
      }
      await delay(everyMs, AbortSignal.any([...wakes, ...(signal === undefined ? [] : [signal])]));
    }
  } finally {
    left.abort();
  }
}

/** Resolves when a workflow is over, however it ended; Temporal tells. Rejects where it cannot, and when `signal` aborts. */
export const endOf =
  (client: Client, handle: WorkflowHandle) =>
  async (signal: AbortSignal): Promise<void> => {
    try {
      await client.withAbortSignal(signal, () => handle.result());
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
    }
  };

const delay = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
