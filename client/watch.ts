/** Something that runs in Temporal, asked again and again until it is over. */

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
 * What `ask` gives, about twice a second unless told otherwise, until `isLast` says so. Throws the error of `ask` once nothing was answered
 * for as long as patience lasts, or at once where `mayPass` says that waiting is of no use.
 */
export async function* watchUntil<Status>(
  {
    ask,
    isLast,
    mayPass = () => Promise.resolve(true),
  }: {
    ask: () => Promise<Status>;
    isLast: (status: Status) => boolean;
    mayPass?: () => Promise<boolean>;
  },
  { signal, everyMs = pollMs, patienceMs = defaultPatienceMs }: WatchOptions,
): AsyncGenerator<Status, void, undefined> {
  let lastAnswerMs = Date.now();
  while (signal?.aborted !== true) {
    try {
      const status = await ask();
      lastAnswerMs = Date.now();
      yield status;
      if (isLast(status)) return;
    } catch (error) {
      if (Date.now() - lastAnswerMs > patienceMs || !(await mayPass())) throw error;
    }
    await delay(everyMs, signal);
  }
}

const delay = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
