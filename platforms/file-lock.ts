import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { VmFerryError } from '../domain/errors.ts';
import { takeFlock } from '../protocols/posix/flock.ts';

/** A lock's file may be removed and made anew while one waits for it; each turn of others costs one try. */
const mostTries = 50;

export interface FileLockOptions {
  path: string;
  /** For each turn of others, ms. */
  waitMs: number;
  /** Ends the wait, not the work. */
  signal?: AbortSignal;
  /** Thrown by whoever waited in vain. */
  busy: () => VmFerryError;
}

/**
 * Runs `act` while no other process of the host holds the lock on that file: two workers of one host, the old one and
 * the one that takes over, must not do the same at once. The lock is flock(2) of a descriptor that only this call holds,
 * so it goes with the process; the file is removed after use. Throws what `busy` gives, and the signal's reason.
 */
export async function withFileLock<T>(
  { path, waitMs, signal, busy }: FileLockOptions,
  act: () => Promise<T>,
): Promise<T> {
  const wait = { waitMs, ...(signal === undefined ? {} : { signal }) };
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  for (let tries = 0; tries < mostTries; tries += 1) {
    const file = await open(path, 'a', 0o600);
    try {
      if (!(await takeFlock(file.fd, wait))) break;
      // The one before may have removed the file that we have waited for.
      const [ours, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
      if (there?.ino !== ours.ino) continue;
      try {
        return await act();
      } finally {
        await rm(path, { force: true });
      }
    } finally {
      await file.close();
    }
  }
  throw busy();
}
