import { Worker } from 'node:worker_threads';
import type { ResourceLimits } from 'node:worker_threads';

/** What every order has. `abort` is what the thread is told when the signal of one that is under way fires. */
export interface Order {
  readonly do: string;
  readonly id: number;
}

/** What a thread answers to an order: that it failed, or something of its own. */
export interface Answer<Words> {
  readonly id: number;
  readonly error?: Words;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** An order without its number, which the thread gives. */
export type NewOrder<O extends Order> = DistributiveOmit<O, 'id'>;

/** What a thread runs, and how it is spoken of. */
export interface ThreadOptions<Words> {
  program: URL;
  resourceLimits?: ResourceLimits;
  /** An error as the thread told it. */
  fromWords: (words: Words) => Error;
  /** What everything that is under way fails with once the thread is gone. */
  lost: (why: string) => Error;
}

interface Waiting<A> {
  readonly resolve: (answer: A) => void;
  readonly reject: (error: Error) => void;
}

/** A thread, and the orders that it has not answered. Its program calls `obeyOrders`. */
export class OrderThread<O extends Order, A extends Answer<Words>, Words> {
  readonly #options: ThreadOptions<Words>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting<A>>();
  #lastId = 0;
  #lost: Error | undefined;

  constructor(options: ThreadOptions<Words>) {
    this.#options = options;
    const { program, resourceLimits } = options;
    const limits = resourceLimits === undefined ? {} : { resourceLimits };
    this.#worker = new Worker(program, { ...limits, execArgv: [], env: {} });
    this.#worker.unref();
    this.#worker.on('message', (answer: A) => this.#hear(answer));
    this.#worker.on('error', (error) => this.#end(`it broke: ${String(error)}`));
    this.#worker.once('exit', () => this.#end('it ended'));
  }

  /** Orders without an answer. */
  get load(): number {
    return this.#waiting.size;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /**
   * Rejects with the thread's error. Settles only when the thread has answered, whatever the signal says, or is gone: a
   * buffer in the order is the caller's again then.
   */
  run(order: NewOrder<O>, signal?: AbortSignal): Promise<A> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = ++this.#lastId;
    const onAbort = (): void => this.#worker.postMessage({ do: 'abort', id });
    const answered = new Promise<A>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    // An idle thread keeps no process alive.
    if (this.#waiting.size === 1) this.#worker.ref();
    this.#worker.postMessage({ ...order, id });
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    return answered.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** Ends it, whatever it is at; resolves when it is gone. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #hear(answer: A): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (answer.error === undefined) waiting?.resolve(answer);
    else waiting?.reject(this.#options.fromWords(answer.error));
  }

  #end(why: string): void {
    this.#lost ??= this.#options.lost(why);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(this.#lost);
  }
}
