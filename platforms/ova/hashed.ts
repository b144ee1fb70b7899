/** SHA-256 of bytes that were just read: on a thread where they are shared, as the copier's are; at once where not. */
import { hash } from 'node:crypto';
import { hashOnThread } from '../../protocols/nbd/index.ts';

/** Rejects with NbdError if the thread breaks. */
export const hashed = async (bytes: Uint8Array): Promise<Uint8Array> =>
  isShared(bytes) ? hashOnThread(bytes) : Uint8Array.from(hash('sha256', bytes, 'buffer'));

const isShared = (bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> =>
  bytes.buffer instanceof SharedArrayBuffer;
