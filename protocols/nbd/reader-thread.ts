/** A thread of `reader-threads.ts`: connections whose reads go straight into shared memory. */
import { hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { openPool, type NbdClient } from './client.ts';
import { NbdError, NbdErrorKind } from './errors.ts';
import type { ReaderAnswer, ReaderOrder, WordOfError } from './reader-messages.ts';

type Answer = Omit<ReaderAnswer, 'id' | 'error'>;

const inWords = (error: unknown): WordOfError => {
  if (error instanceof NbdError) {
    const { kind, message, errno } = error;
    return { kind, message, ...(errno !== undefined && { errno }) };
  }
  return { kind: NbdErrorKind.closed, message: `an NBD reader failed: ${String(error)}` };
};

const links = new Map<number, NbdClient>();
const underWay = new Map<number, AbortController>();

async function open(
  { link, options }: ReaderOrder & { do: 'open' },
  signal: AbortSignal,
): Promise<Answer> {
  const client = await openPool({ ...options, connections: 1, metaContexts: [], signal });
  links.set(link, client);
  const { sizeBytes, blockSize, canMultiConn } = client.info;
  return { look: { sizeBytes, blockSize, canMultiConn } };
}

async function read(
  { link, offset, into, hashed }: ReaderOrder & { do: 'read' },
  signal: AbortSignal,
): Promise<Answer> {
  const client = links.get(link);
  if (client === undefined) throw new NbdError(NbdErrorKind.closed, 'the NBD reader is closed');
  await client.read(offset, into, signal);
  return hashed ? { digest: Uint8Array.from(hash('sha256', into, 'buffer')) } : {};
}

async function close({ link }: ReaderOrder & { do: 'close' }): Promise<Answer> {
  await links.get(link)?.close();
  links.delete(link);
  return {};
}

function obey(order: Exclude<ReaderOrder, { do: 'abort' }>, signal: AbortSignal): Promise<Answer> {
  if (order.do === 'open') return open(order, signal);
  return order.do === 'read' ? read(order, signal) : close(order);
}

async function answer(order: Exclude<ReaderOrder, { do: 'abort' }>): Promise<void> {
  const { id } = order;
  const abort = new AbortController();
  underWay.set(id, abort);
  const said: Answer | { error: WordOfError } = await obey(order, abort.signal).catch(
    (error: unknown) => ({ error: inWords(error) }),
  );
  underWay.delete(id);
  parentPort?.postMessage({ id, ...said } satisfies ReaderAnswer);
}

parentPort?.on('message', (order: ReaderOrder) => {
  if (order.do === 'abort') underWay.get(order.id)?.abort();
  else void answer(order);
});
