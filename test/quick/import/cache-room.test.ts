import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheOf } from '../../../activities/import/cache-of.ts';
import { cacheUse, reserveCache } from '../../../activities/import/cache-room.ts';
import { conversionFacts } from '../../../activities/import/conversion-facts.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import { keepCache } from '../../../activities/import/keep-cache.ts';
import type { ImportRef, ReserveCacheAnswer } from '../../../activities/import/contract.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { roomOf } from '../../../domain/import/capacity.ts';
import { takeFlock } from '../../../protocols/posix/flock.ts';
import { conversionHost, MiB, PlayedSource, refOf } from './played-source.ts';

const never = new AbortController().signal;
let dir: string;
let source: PlayedSource;
let parts: ImportParts;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-room-'));
  source = new PlayedSource();
  parts = await conversionHost(dir, source);
  await mkdir(parts.conversion.cacheDir);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Of VMs of their own. */
const importOf = (id: string): ImportRef => ({ ...refOf(id), foreign: { id, name: id } });
const hold = (ref: ImportRef, neededBytes: number, besideBytes = 0) =>
  reserveCache(parts, { ...ref, neededBytes, besideBytes }, { signal: never });
const room = async () => roomOf(await cacheUse(parts));

describe('room in the cache', () => {
  it('is promised once, however many imports see it at the same time', async () => {
    // Other programs write on this machine meanwhile: two of three fit, by far, and three do not.
    const each = Math.floor((await room()).availableBytes * 0.4);
    await parts.terms.apply({ takesImports: true, parallel: 3 });
    const answers = await Promise.all(['a', 'b', 'c'].map((id) => hold(importOf(id), each)));
    expect(answers.filter(({ granted }) => !granted)).toMatchObject([
      { fault: { code: 'cache-full', handling: 'transient' } },
    ]);
    const { promisedBytes, running } = await cacheUse(parts);
    expect([promisedBytes, running]).toEqual([2 * each, 2]);
  });

  it('stays promised to whoever asks again, and leaves no trace of who was refused', async () => {
    const { availableBytes } = await room();
    await hold(importOf('a'), Math.floor(availableBytes * 0.6));
    await hold(importOf('a'), Math.floor(availableBytes * 0.6));
    expect(await hold(importOf('b'), Math.floor(availableBytes * 0.6))).toMatchObject({
      fault: { code: 'cache-full' },
    });
    await expect(hold(importOf('b'), 3 * availableBytes)).rejects.toMatchObject({
      ...{ code: 'cache-full', handling: 'permanent' },
    });
    expect(await cacheOf(parts, importOf('b')).read()).toBeUndefined();
    expect((await cacheUse(parts)).running).toBe(1);
  });

  it('is looked for by one at a time, of several processes too, and whoever waits can be called off', async () => {
    const path = join(parts.host.stateDir, 'imports', 'locks', 'room');
    await mkdir(dirname(path), { recursive: true });
    const other = await open(path, 'a');
    expect(await takeFlock(other.fd, { waitMs: 0 })).toBe(true);
    const caller = new AbortController();
    const waiting = reserveCache(
      parts,
      { ...importOf('a'), neededBytes: MiB, besideBytes: 0 },
      { signal: caller.signal },
    );
    const patient = hold(importOf('b'), MiB);
    caller.abort(new Error('called off'));
    await expect(waiting).rejects.toThrow();
    expect((await cacheUse(parts)).running).toBe(0);
    await other.close();
    await patient;
    expect((await cacheUse(parts)).running).toBe(1);
  });

  it('is waited for until who has it is committed', async () => {
    const most = Math.floor((await room()).availableBytes * 0.6);
    await hold(importOf('a'), most);
    const input = { ...importOf('b'), neededBytes: most, besideBytes: 0, waitMs: 60_000 };
    const waiting = reserveCache(parts, input, { signal: never, pauseMs: 20 });
    await keepCache(parts, { ...importOf('a'), seconds: 0 }, never);
    expect(await waiting).toEqual({ granted: true });
  });

  it('is free again once its import is over', async () => {
    await hold(importOf('a'), 1024 * MiB);
    expect((await cacheUse(parts)).promisedBytes).toBe(1024 * MiB);
    await keepCache(parts, { ...importOf('a'), seconds: 60 }, never);
    expect(await cacheUse(parts)).toMatchObject({ promisedBytes: 0, running: 0 });
  });

  it('is promised for what is still to come: what was copied, and zeros, are not', async () => {
    const keys = ['2000', '2001'];
    for (const key of keys)
      source.disks.set(key, { bytes: randomBytes(6 * MiB), fingerprint: 'a' });
    await hold(refOf('one'), 100 * MiB, 20 * MiB);
    await ensureCached(
      parts,
      {
        ...refOf('one'),
        ...{ vm: source.vm, disks: keys, bandwidthBytesPerSecond: 0, running: 'shutdown' },
      },
      { signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
    );
    // The conversion has yet to write.
    expect((await cacheUse(parts)).promisedBytes).toBe(20 * MiB);
    await cacheOf(parts, refOf('one')).writesNoMore('one');
    expect((await cacheUse(parts)).promisedBytes).toBe(0);
  });

  it('goes to ten of fifty at a time, and to the next ones once these are copied and converted', async () => {
    await parts.terms.apply({ takesImports: true, parallel: 10 });
    const waiting = Array.from({ length: 50 }, (_, nth) => importOf(`vm-${nth}`));
    for (const left of [40, 30, 20, 10, 0]) {
      const begun: ImportRef[] = [];
      let refused: ReserveCacheAnswer | undefined;
      while (refused === undefined && waiting[0] !== undefined) {
        const answer = await hold(waiting[0], MiB);
        if (answer.granted) begun.push(...waiting.splice(0, 1));
        else refused = answer;
      }
      expect([begun.length, waiting.length]).toEqual([10, left]);
      expect((await cacheUse(parts)).running).toBe(10);
      if (left > 0)
        expect(refused).toMatchObject({
          fault: { code: 'conversion-host-full', handling: 'transient' },
        });
      // Each stays in the cache until its commit, and counts no more.
      for (const one of begun) await cacheOf(parts, one).writesNoMore(one.migrationId);
    }
  }, 60_000);

  it('is given to no new import while the host takes none; those under way go on', async () => {
    await hold(importOf('a'), MiB);
    await parts.terms.apply({ takesImports: false });
    await hold(importOf('a'), MiB);
    await expect(hold(importOf('b'), MiB)).rejects.toMatchObject({
      code: 'conversion-host-disabled',
    });
    expect((await conversionFacts(parts, never)).takesImports).toBe(false);
    await parts.terms.apply({ takesImports: true });
    await hold(importOf('b'), MiB);
  });
});
