import { randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { tryFlock } from '../../../protocols/posix/flock.ts';
import { withVmLock } from '../../../guard/lock.ts';
import { stateFolder } from './state-folder.ts';

vi.mock('koffi', () => {
  throw new Error('built for another processor');
});

it('takes the lock by a program where the library does not load', async () => {
  expect(await tryFlock(0)).toBe('unavailable');
  const stateDir = stateFolder();
  const uuid = randomUUID();
  const file = join(stateDir, 'locks', uuid);
  const isFree = (): boolean => {
    try {
      execFileSync('flock', ['-n', file, 'true']);
      return true;
    } catch {
      return false;
    }
  };
  const lock = { stateDir, uuid, timeoutMs: 5000 };
  expect(await withVmLock(lock, () => Promise.resolve(isFree()))).toBe(false);
  expect(isFree()).toBe(true);
});
