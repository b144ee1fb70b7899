import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cacheUse, reserveCache } from '../../../activities/import/cache-room.ts';
import { dropCache, expireCaches } from '../../../activities/import/keep-cache.ts';
import { checkForeign } from '../../../activities/import/look.ts';
import { roomOf } from '../../../domain/import/capacity.ts';
import { keepCaches } from '../../../workers/import-duties.ts';
import { KeptCache, guestBytes, qemuImgStandIn } from './kept-cache.ts';
import { MiB, PlayedSource, refOf } from './played-source.ts';

const never = new AbortController().signal;
let dir: string;
let source: PlayedSource;
let kept: KeptCache;
let qemuImg: Awaited<ReturnType<typeof qemuImgStandIn>>;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-pack-'));
  source = new PlayedSource();
  source.disks.set('2000', { bytes: guestBytes(6 * MiB), fingerprint: 'a' });
  kept = await KeptCache.in(dir, source);
  qemuImg = await qemuImgStandIn(dir);
  vi.stubEnv('PATH', qemuImg.path);
  await kept.copy('one');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Compressing that takes as long as nobody ends it; gives its process. */
async function packing(): Promise<{ over: Promise<void>; pid: number }> {
  await kept.keep('one');
  await writeFile(qemuImg.hang, '');
  const over = kept.pack();
  await expect.poll(() => exists(qemuImg.started)).toBe(true);
  return { over, pid: Number(await readFile(qemuImg.started, 'utf8')) };
}
const runs = (pid: number): Promise<boolean> => exists(`/proc/${pid}`);

describe('what an ended import left is compressed', () => {
  it('only if it asked for that', async () => {
    kept = await KeptCache.in(dir, source, {});
    await kept.copy('two');
    await kept.keep('two');
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.raw']);
    expect(kept.said).toEqual([]);
  });

  it('only once it is over', async () => {
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.raw']);
    await kept.keep('one');
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.packed']);
  });

  it('also where it ended without a last word', async () => {
    const fateOf = () =>
      Promise.resolve({ state: 'closed', how: 'terminated', why: 'unclear', detail: '' } as const);
    await expireCaches(kept.parts, { fateOf, log: () => undefined, signal: never });
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.packed']);
  });

  it('by the upkeep of its conversion host', async () => {
    await kept.keep('one');
    const worker = new AbortController();
    const fateOf = () => Promise.reject(new Error('nobody is asked'));
    const { signal } = worker;
    const over = keepCaches(kept.parts, { fateOf, log: () => undefined, signal });
    await expect.poll(async () => Object.keys(await kept.files())).toEqual(['disk-0.packed']);
    worker.abort();
    await over;
  });

  it('by what this qemu-img can do', async () => {
    await writeFile(qemuImg.old, '');
    await kept.keep('one');
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.packed']);
    await kept.copy('two');
    const { cached, source: wanted } = await kept.hashes();
    expect(cached).toEqual(wanted);
  });

  it('in a record that a worker of before refuses, as long as a disk is packed', async () => {
    await kept.keep('one');
    await kept.pack();
    expect((await kept.record()).version).toBe(2);
    await kept.copy('two');
    expect((await kept.record()).version).toBe(1);
  });
});

it('a record of before is read as it is', async () => {
  const { folder } = kept.cache;
  const path = join(folder, 'record.json');
  const { disks, vm, provider } = await kept.record();
  const asBefore = {
    ...{ version: 1, provider, vm, reading: false, keepSeconds: 600 },
    disks: disks.map(({ key, file, capacityBytes, fingerprint, whole }) => ({
      ...{ key, file, capacityBytes, fingerprint, whole },
    })),
    usedBy: { moveId: 'm', migrationId: 'one', server: { clusterId: 'c', namespaceId: 'n' } },
    until: new Date(Date.now() + 600_000).toISOString(),
  };
  await writeFile(path, JSON.stringify(asBefore));
  await kept.pack();
  expect(kept.said).toEqual([]);
  expect((await kept.copy('two')).disks).toMatchObject([{ bytesCopied: 0 }]);
});

describe('compressing', () => {
  it('makes way at once for an import of the VM, which copies nothing', async () => {
    const { over, pid } = await packing();
    // What the next import does takes no word of qemu-img.
    const { disks } = await kept.copy('two');
    expect(disks).toMatchObject([{ bytesCopied: 0, bytesFromCache: 6 * MiB }]);
    await over;
    expect(kept.said).toEqual(['did not compress a cached VM']);
    expect(await runs(pid)).toBe(false);
    expect(Object.keys(await kept.files())).toEqual(['disk-0.raw']);
  });

  it('makes way however close after it an import comes, or before it', async () => {
    await kept.keep('one');
    await writeFile(qemuImg.hang, '');
    for (let ticks = 0; ticks < 24; ticks += 1) {
      const copying = ticks < 12 ? undefined : kept.copy(`later ${ticks}`);
      for (let tick = 0; tick < ticks % 12; tick += 1) await setImmediate();
      const over = kept.pack();
      for (let tick = 0; copying === undefined && tick < ticks; tick += 1) await setImmediate();
      await (copying ?? kept.copy(`later ${ticks}`));
      await over;
      await kept.keep(`later ${ticks}`);
    }
    expect(Object.keys(await kept.files())).toEqual(['disk-0.raw']);
  });

  it('makes way for whoever discards the VM', async () => {
    const { over, pid } = await packing();
    await dropCache(kept.parts, kept.ref, never);
    await over;
    expect([await runs(pid), await exists(kept.cache.folder)]).toEqual([false, false]);
  });

  it('makes way for an import of another VM that wants the room, and for no other', async () => {
    const { over, pid } = await packing();
    const hold = async (id: string, share: number) =>
      reserveCache(
        kept.parts,
        {
          ...{ ...refOf(id), foreign: { id, name: id }, besideBytes: 0 },
          neededBytes: Math.floor(roomOf(await cacheUse(kept.parts)).availableBytes * share),
        },
        { signal: never },
      );
    expect(await hold('small', 0.1)).toEqual({ granted: true });
    expect(await runs(pid)).toBe(true);
    // More than there is: what is refused is so only after it has looked without what is compressed.
    await expect(hold('large', 2)).rejects.toMatchObject({ code: 'cache-full' });
    await over;
    expect(await runs(pid)).toBe(false);
  });

  it('stops with its worker', async () => {
    await kept.keep('one');
    await writeFile(qemuImg.hang, '');
    const worker = new AbortController();
    const over = kept.pack(worker.signal);
    await expect.poll(() => exists(qemuImg.started)).toBe(true);
    worker.abort(new Error('the worker stops'));
    await expect(over).rejects.toThrow('the worker stops');
    expect(await runs(Number(await readFile(qemuImg.started, 'utf8')))).toBe(false);
  });

  it('waits for room that is promised to others', async () => {
    await kept.keep('one');
    const other = await KeptCache.in(dir, source, { foreign: { id: 'vm-43', name: 'db' } });
    const { until: _, ...used } = await kept.record();
    const promise = { neededBytes: 2 ** 50, besideBytes: 0 };
    await other.cache.write({ ...used, disks: [], promise });
    await kept.pack();
    expect(kept.said).toEqual(['no room to compress a cached disk']);
    await other.cache.drop();
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.packed']);
  });

  it('waits until the source is given back', async () => {
    await kept.keep('one');
    const record = await kept.record();
    await kept.cache.write({ ...record, reading: true });
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.raw']);
  });

  it('is begun again at a later look', async () => {
    const { over } = await packing();
    await kept.copy('two');
    await over;
    await rm(qemuImg.hang);
    await kept.keep('two');
    await kept.pack();
    expect(Object.keys(await kept.files())).toEqual(['disk-0.packed']);
  });
});

describe('unpacking', () => {
  beforeEach(async () => {
    await kept.keep('one');
    await kept.pack();
  });

  it('ends with its import, and leaves what was packed for the next one', async () => {
    await writeFile(qemuImg.hang, '');
    const called = new AbortController();
    const copying = kept.copy('two', called.signal);
    await expect.poll(() => exists(qemuImg.started)).toBe(true);
    called.abort(new Error('called off'));
    await expect(copying).rejects.toThrow();
    expect(await runs(Number(await readFile(qemuImg.started, 'utf8')))).toBe(false);
    expect(Object.keys(await kept.files())).toEqual(['disk-0.packed']);
    await rm(qemuImg.hang);
    expect((await kept.copy('two')).disks).toMatchObject([{ bytesCopied: 0 }]);
  });

  it('is no reason to drop what is packed where somebody ended qemu-img', async () => {
    await writeFile(qemuImg.hang, '');
    const copying = kept.copy('two');
    await expect.poll(() => exists(qemuImg.started)).toBe(true);
    process.kill(Number(await readFile(qemuImg.started, 'utf8')), 'SIGKILL');
    await expect(copying).rejects.toMatchObject({ code: 'qemu-img-ended', handling: 'transient' });
    await rm(qemuImg.hang);
    expect((await kept.copy('two')).disks).toMatchObject([{ bytesCopied: 0 }]);
  });
});

it('an import is promised the room to unpack beside what is packed', async () => {
  await kept.keep('one');
  await kept.pack();
  const taken = await kept.cache.takenBytes();
  expect(taken).toBe((await kept.files())['disk-0.packed']);
  const { cachedBytes } = await checkForeign(
    kept.parts,
    { ...kept.ref, migrationId: 'two' },
    never,
  );
  expect(cachedBytes).toBe(0);
  const input = { ...kept.ref, migrationId: 'two', neededBytes: 6 * MiB, besideBytes: MiB };
  await reserveCache(kept.parts, input, { signal: never });
  // Of the 6 MiB nothing is there yet.
  expect((await cacheUse(kept.parts)).promisedBytes).toBe(6 * MiB);
  const { providers } = kept.parts;
  kept.parts.providers = {
    ...providers,
    open: async (...as) => {
      expect((await kept.record()).promise?.neededBytes).toBe(6 * MiB);
      return providers.open(...as);
    },
  };
  await kept.copy('two');
  expect((await cacheUse(kept.parts)).promisedBytes).toBe(MiB);
});

it('a disk that is dropped is so in either form', async () => {
  await kept.keep('one');
  await kept.pack();
  await kept.cache.dropDisks(await kept.record());
  expect(await kept.files()).toEqual({});
});
