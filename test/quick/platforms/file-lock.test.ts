import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { permanent } from '../../../domain/errors.ts';
import { withFileLock } from '../../../platforms/file-lock.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'file-lock-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('a lock on a file is one holder at a time, refused in the words of whoever wanted it, and leaves no file', async () => {
  const path = join(dir, 'locks', 'one');
  const busy = () => permanent({ code: 'mine-busy', message: 'busy', remedy: 'wait' });
  const held = Promise.withResolvers<undefined>();
  const begun = Promise.withResolvers<undefined>();
  const first = withFileLock({ path, waitMs: 0, busy }, () => {
    begun.resolve(undefined);
    return held.promise;
  });
  await begun.promise;
  const lock = () => withFileLock({ path, waitMs: 0, busy }, () => Promise.resolve('had it'));
  await expect(lock()).rejects.toMatchObject({ code: 'mine-busy' });
  held.resolve(undefined);
  await first;
  expect(await lock()).toBe('had it');
  await expect(access(path)).rejects.toThrow();
});
