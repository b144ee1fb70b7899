import { cancelled, transient } from '../domain/errors.ts';

interface Running {
  migrationId: string;
  abort: AbortController;
  ended: Promise<void>;
}

/** How long an older attempt may take to let go, ms. */
const letGoMs = 20_000;

/**
 * One attempt at a time at each operation of this process. A heartbeat that came late makes Temporal start a second
 * attempt while the first still acts: the newer one ends the older and waits until it has let go. (Attempts of other
 * processes are fenced by locks of the kernel and by the ledger's epoch.)
 */
export class Operations {
  readonly #running = new Map<string, Running>();

  async exclusive<T>(
    options: { migrationId: string; name: string; signal: AbortSignal },
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const key = `${options.migrationId} ${options.name}`;
    for (let older = this.#running.get(key); older !== undefined; older = this.#running.get(key)) {
      await end(older, key);
    }
    const abort = new AbortController();
    const work = run(AbortSignal.any([options.signal, abort.signal]));
    const entry: Running = {
      migrationId: options.migrationId,
      abort,
      ended: work.then(
        () => undefined,
        () => undefined,
      ),
    };
    this.#running.set(key, entry);
    try {
      return await work;
    } finally {
      if (this.#running.get(key) === entry) this.#running.delete(key);
    }
  }

  /** Ends whatever still runs here for a move, before its traces are removed. */
  async endAll(migrationId: string): Promise<void> {
    const own = [...this.#running].filter(([, running]) => running.migrationId === migrationId);
    await Promise.all(own.map(([key, running]) => end(running, key)));
  }
}

async function end(running: Running, name: string): Promise<void> {
  running.abort.abort(
    cancelled({
      code: 'superseded',
      message: `a newer attempt took over: ${name}`,
      remedy: 'Nothing to do.',
    }),
  );
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          transient({
            code: 'attempt-still-acting',
            message: `an older attempt did not let go within ${letGoMs / 1000} s: ${name}`,
            remedy: 'It is tried again; if it stays so, restart the worker of this host.',
          }),
        ),
      letGoMs,
    );
  });
  try {
    await Promise.race([running.ended, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
