/** Digests of whole files on a thread of their own: a disk of 100 GB takes minutes, and the event loop has other work. */
import { Worker } from 'node:worker_threads';
import type { FileRegion } from './bytes.ts';
import type { DigestOrder, DigestWord } from './digest-thread.ts';
import { changed, corrupt, fileFault, quoted } from './faults.ts';
import type { ManifestLine } from './manifest.ts';

const program = new URL('./digest-thread.ts', import.meta.url);

interface DigestOptions {
  algorithm: ManifestLine['algorithm'];
  signal?: AbortSignal;
  /** Told now and then; counts from 0 to the size. */
  onProgress?: (doneBytes: number) => void;
}

/** Hexadecimal digest of a region. Rejects with the signal's reason, `source-changed`, `disk-io-error`. */
async function digestOf(region: FileRegion, options: DigestOptions): Promise<string> {
  const { algorithm, signal, onProgress } = options;
  signal?.throwIfAborted();
  const { file, offset, sizeBytes } = region;
  const order: DigestOrder = { descriptor: file.descriptor, offset, sizeBytes, algorithm };
  const thread = new Worker(program, { workerData: order, execArgv: [], env: {} });
  let onAbort = (): void => undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      onAbort = () => reject(signal?.reason as Error);
      signal?.addEventListener('abort', onAbort, { once: true });
      thread.on('message', (word: DigestWord) => {
        if ('doneBytes' in word) onProgress?.(word.doneBytes);
        else if ('digest' in word) resolve(word.digest);
        else reject(changed(file.path));
      });
      thread.once('error', (error) => {
        const fault = fileFault(file.path, error);
        reject(fault instanceof Error ? fault : new Error(String(error)));
      });
      thread.once('exit', () => reject(new Error('the digest thread ended without an answer')));
    });
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // Only then may the file be closed: its number could soon be another file's.
    await thread.terminate();
  }
}

/** Throws `ova-corrupt`, naming file, expected and found digest, if a file is not what its manifest says. */
export async function checkDigest(
  region: FileRegion,
  line: ManifestLine,
  options: { path: string } & Omit<DigestOptions, 'algorithm'>,
): Promise<void> {
  const { path, ...rest } = options;
  const found = await digestOf(region, { ...rest, algorithm: line.algorithm });
  if (found === line.digest) return;
  const digest = line.algorithm.toUpperCase();
  const why = `the ${digest} of ${quoted(line.name)} is ${found}, its manifest says ${line.digest}`;
  throw corrupt(path, why);
}
