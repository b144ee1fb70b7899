import { availableParallelism } from 'node:os';
import { OrderThread } from '../threads/index.ts';
import { NbdError, NbdErrorKind } from './errors.ts';
import type { ReaderAnswer, ReaderOrder, WordOfError } from './reader-messages.ts';

const program = new URL('./reader-thread.ts', import.meta.url);
/** Small heaps: what a connection holds is in shared memory. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };
const mostThreads = 4;

/** A thread of connections. */
export type ReaderThread = OrderThread<ReaderOrder, ReaderAnswer, WordOfError>;

const fromWords = ({ kind, message, errno }: WordOfError): NbdError =>
  new NbdError(kind, message, errno === undefined ? {} : { errno });
const lost = (why: string): NbdError =>
  new NbdError(NbdErrorKind.closed, `an NBD reader is gone: ${why}`);

const threads: ReaderThread[] = [];

/**
 * Up to `count` threads, which all exports of the process share and which stay: starting one takes longer than
 * reading a small disk, and its code has to become warm. There are two at least, so that the link is busy while one
 * of them decrypts, and no more than cores.
 */
export const readerThreads = (count: number): ReaderThread[] => {
  for (let at = threads.length - 1; at >= 0; at--) if (threads[at]?.isLost) threads.splice(at, 1);
  const most = Math.min(mostThreads, Math.max(2, availableParallelism()));
  while (threads.length < Math.min(count, most)) {
    threads.push(new OrderThread({ program, resourceLimits, fromWords, lost }));
  }
  return threads.slice(0, count);
};
