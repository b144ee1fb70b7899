import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { transient } from '../../domain/errors.ts';
import { takeFlock } from '../../protocols/posix/flock.ts';

/** A server comes up within 15 s and ends within 10; who waits longer has met something that hangs. */
const waitMs = 40_000;
/** A lock's file may be removed and made anew while one waits for it; each turn of others costs one try. */
const mostTries = 50;

/**
 * Runs `act` while no other process of the host holds the lock on that file: two workers of one host, the old one and
 * the one that takes over, must not start a server each. The lock is flock(2) of a descriptor that only this process
 * holds, so it goes with the process; the file is removed after use. Throws `export-busy`.
 */
export async function withFileLock<T>(
  { path, host }: { path: string; host: string },
  act: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  for (let tries = 0; tries < mostTries; tries += 1) {
    const file = await open(path, 'a', 0o600);
    try {
      if (!(await takeFlock(file.fd, { waitMs }))) break;
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
  throw transient({
    code: 'export-busy',
    message: `another process of ${host} has been working on this export for long (${path})`,
    remedy: 'It is tried again; see whether two workers run on that host, and end one.',
    host,
  });
}
