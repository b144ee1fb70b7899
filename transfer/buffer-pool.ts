import { makeAlignedBuffers } from './aligned-buffers.ts';

/** Kept for the next copy, bytes; what comes back beyond it is given to the garbage collector. */
const mostIdleBytes = 32 * 1024 * 1024;

const idle = new Map<number, Uint8Array<SharedArrayBuffer>[]>();
let idleBytes = 0;

/** Buffers on loan; give them back when nothing reads or writes them any more. */
export interface Loan extends Disposable {
  readonly buffers: readonly Uint8Array<SharedArrayBuffer>[];
}

/**
 * Lends `count` page-aligned shared buffers of `length` bytes. They outlive a copy: their pages are there already, and
 * threads that have seen them do not keep an ever growing number of them alive.
 */
export const lendBuffers = (count: number, length: number): Loan => {
  const known = idle.get(length) ?? [];
  const buffers = known.splice(0, count);
  idleBytes -= buffers.length * length;
  while (buffers.length < count) buffers.push(...makeAlignedBuffers(1, length));
  return {
    buffers,
    [Symbol.dispose]: () => {
      for (const buffer of buffers) {
        if (idleBytes + length > mostIdleBytes) return;
        const shelf = idle.get(length);
        if (shelf === undefined) idle.set(length, [buffer]);
        else shelf.push(buffer);
        idleBytes += length;
      }
    },
  };
};
