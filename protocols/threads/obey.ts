import { parentPort } from 'node:worker_threads';
import type { Answer, Order } from './order-thread.ts';

/** Obeys each order that comes, many at a time, and answers it; the program of a thread calls it once. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- it says which orders come
export function obeyOrders<O extends Order, A extends Answer<Words>, Words>(
  obey: (order: O, signal: AbortSignal) => Promise<Omit<A, 'id' | 'error'>>,
  inWords: (error: unknown) => Words,
): void {
  const underWay = new Map<number, AbortController>();
  const answer = async (order: O): Promise<void> => {
    const { id } = order;
    const abort = new AbortController();
    underWay.set(id, abort);
    const said = await obey(order, abort.signal).catch((error: unknown) => ({
      error: inWords(error),
    }));
    underWay.delete(id);
    parentPort?.postMessage({ id, ...said });
  };
  parentPort?.on('message', (order: O | { do: 'abort'; id: number }) => {
    if (isAbort(order)) underWay.get(order.id)?.abort();
    else void answer(order);
  });
}

const isAbort = (order: Order): order is { do: 'abort'; id: number } => order.do === 'abort';
