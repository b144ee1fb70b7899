/** A thread of `digest.ts`: hashes a part of a file of this process and says how far it is. */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/** What the thread is started with. */
export interface DigestOrder {
  descriptor: number;
  offset: number;
  sizeBytes: number;
  algorithm: string;
}

/** What it says: how many bytes are done; at the end the digest, or that the file is shorter. */
export type DigestWord = { doneBytes: number } | { digest: string } | { short: true };

const stepBytes = 1024 * 1024;
const wordEveryBytes = 16 * stepBytes;

const say = (word: DigestWord): void => parentPort?.postMessage(word);

function digest({ descriptor, offset, sizeBytes, algorithm }: DigestOrder): DigestWord {
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafe(stepBytes);
  let told = 0;
  for (let done = 0; done < sizeBytes;) {
    const wanted = Math.min(stepBytes, sizeBytes - done);
    const length = readSync(descriptor, buffer, 0, wanted, offset + done);
    if (length === 0) return { short: true };
    hash.update(buffer.subarray(0, length));
    done += length;
    if (done - told >= wordEveryBytes) {
      told = done;
      say({ doneBytes: done });
    }
  }
  return { digest: hash.digest('hex') };
}

say(digest(workerData as DigestOrder));
