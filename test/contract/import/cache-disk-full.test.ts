/** A cache whose file system fills up, on a real one. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { cacheUse, reserveCache } from '../../../activities/import/cache-room.ts';
import type { CacheInput } from '../../../activities/import/contract.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import { dropCache, keepCache } from '../../../activities/import/keep-cache.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { roomOf } from '../../../domain/import/capacity.ts';
import { conversionHost, MiB, PlayedSource, refOf } from '../../quick/import/played-source.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const sizeMiB = 96;
let dir: string;
let cacheDir: string;
let source: PlayedSource;
let parts: ImportParts;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-full-'));
  source = new PlayedSource();
  parts = await conversionHost(dir, source);
  ({ cacheDir } = parts.conversion);
  await mkdir(cacheDir);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', cacheDir]);
});
afterEach(async () => {
  await run('umount', [cacheDir]);
  await rm(dir, { recursive: true, force: true });
});

const hold = (id: string, neededMiB: number) =>
  reserveCache(
    parts,
    { ...refOf(id), foreign: { id, name: id }, neededBytes: neededMiB * MiB, besideBytes: 0 },
    { signal: never },
  );

it('refuses what does not fit, with the room that is lacking, and keeps nothing of it', async () => {
  // 64 MiB stay free in any case: for journals, and for what else is on the disk.
  await hold('a', 20);
  await expect(hold('b', 50)).rejects.toMatchObject({
    ...{ code: 'cache-full', handling: 'permanent', host: 'alpha' },
    message: expect.stringMatching(/50 MiB are needed, \d+ MiB are lacking/) as string,
  });
  // This one would fit without the first.
  expect(await hold('b', 20)).toMatchObject({
    granted: false,
    fault: {
      ...{ code: 'cache-full', handling: 'transient' },
      message: expect.stringMatching(/20 MiB are needed, \d+ MiB are lacking/) as string,
    },
  });
  expect(await cacheUse(parts)).toMatchObject({ running: 1, promisedBytes: 20 * MiB });
  await hold('c', 5);
  expect(roomOf(await cacheUse(parts)).availableBytes).toBeLessThan(8 * MiB);
});

it('stops a copy that needs more than its source had told, and goes on once there is room', async () => {
  source.disks.set('2000', { bytes: randomBytes(120 * MiB), fingerprint: 'a' });
  const input: CacheInput = {
    ...refOf('one'),
    ...{ vm: source.vm, disks: ['2000'], bandwidthBytesPerSecond: 0, running: 'shutdown' },
  };
  const copy = () =>
    ensureCached(parts, input, {
      ...{ signal: never, report: () => undefined },
      throttle: { take: () => Promise.resolve() },
    });
  const need = { neededBytes: 8 * MiB, besideBytes: 0 };
  await reserveCache(parts, { ...refOf('one'), ...need }, { signal: never });
  await expect(copy()).rejects.toMatchObject({
    code: expect.stringContaining('disk-full') as string,
    handling: 'needs-operator',
  });
  // Nobody is promised what is not there.
  expect(await hold('b', 1)).toMatchObject({ granted: false, fault: { code: 'cache-full' } });
  await run('mount', ['-o', `remount,size=${4 * sizeMiB}m`, cacheDir]);
  const read = source.readBytes;
  const { disks } = await copy();
  expect(disks).toMatchObject([{ key: '2000' }]);
  // What had become durable did not cross again.
  expect(source.readBytes - read).toBeLessThan(120 * MiB);
  await keepCache(parts, { ...refOf('one'), seconds: 60 }, never);
  await dropCache(parts, refOf('one'), never);
  expect(roomOf(await cacheUse(parts)).freeBytes).toBeGreaterThan(4 * (sizeMiB - 2) * MiB);
});
