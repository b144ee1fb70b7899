import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { NbdError, NbdErrorKind } from './errors.ts';
import type { ReaderAnswer, ReaderOrder, WordOfError } from './reader-messages.ts';

const program = new URL('./reader-thread.ts', import.meta.url);
/** Small heaps: what a connection holds is in shared memory. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };
const mostThreads = 4;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** An order without its number, which the thread gives. */
export type NewOrder = DistributiveOmit<Exclude<ReaderOrder, { do: 'abort' }>, 'id'>;

interface Waiting {
  readonly resolve: (answer: ReaderAnswer) => void;
  readonly reject: (error: NbdError) => void;
}

const fromWords = ({ kind, message, errno }: WordOfError): NbdError =>
  new NbdError(kind, message, errno === undefined ? {} : { errno });

/** A thread, and the orders that it has not answered. */
export class ReaderThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #lost: NbdError | undefined;

  constructor() {
    this.#worker = new Worker(program, { resourceLimits, execArgv: [], env: {} });
    this.#worker.unref();
    this.#worker.on('message', (answer: ReaderAnswer) => this.#hear(answer));
    this.#worker.on('error', (error) => this.#end(`an NBD reader broke: ${String(error)}`));
    this.#worker.once('exit', () => this.#end('the NBD reader ended'));
  }

  /** Orders without an answer. */
  get load(): number {
    return this.#waiting.size;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /**
   * Rejects with the thread's NbdError. Settles only when the thread has answered, whatever the signal says, or is
   * gone: a buffer in the order is the caller's again then.
   */
  run(order: NewOrder, signal?: AbortSignal): Promise<ReaderAnswer> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = ++this.#lastId;
    const onAbort = (): void => this.#say({ do: 'abort', id });
    const answered = new Promise<ReaderAnswer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    // An idle thread keeps no process alive.
    if (this.#waiting.size === 1) this.#worker.ref();
    this.#say({ ...order, id });
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    return answered.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  #say(order: ReaderOrder): void {
    this.#worker.postMessage(order);
  }

  #hear(answer: ReaderAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (answer.error === undefined) waiting?.resolve(answer);
    else waiting?.reject(fromWords(answer.error));
  }

  #end(message: string): void {
    this.#lost ??= new NbdError(NbdErrorKind.closed, message);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(this.#lost);
  }
}

const threads: ReaderThread[] = [];

/**
 * Up to `count` threads, which all exports of the process share and which stay: starting one takes longer than
 * reading a small disk, and its code has to become warm. There are two at least, so that the link is busy while one
 * of them decrypts, and no more than cores.
 */
export const readerThreads = (count: number): ReaderThread[] => {
  for (let at = threads.length - 1; at >= 0; at--) if (threads[at]?.isLost) threads.splice(at, 1);
  const most = Math.min(mostThreads, Math.max(2, availableParallelism()));
  while (threads.length < Math.min(count, most)) threads.push(new ReaderThread());
  return threads.slice(0, count);
};
