/** What a cache keeps, packed and unpacked by a real qemu-img, over deaths of the worker. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  access,
  mkdir,
  mkdtemp,
  open,
  readdir,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cachedImage } from '../../../activities/import/cached-disk.ts';
import { verifyCached } from '../../../activities/import/verify-cached.ts';
import { restartForeign } from '../../../activities/import/give-back.ts';
import type { CacheInput, ImportHeartbeat } from '../../../activities/import/contract.ts';
import { labelledProcesses } from '../../../convert/labelled-process.ts';
import { Journal, journalPathFor } from '../../../transfer/journal.ts';
import { KeptCache, guestBytes, qemuImgStandIn } from '../../quick/import/kept-cache.ts';
import { MiB, PlayedSource } from '../../quick/import/played-source.ts';

const never = new AbortController().signal;
let dir: string;
let source: PlayedSource;
let kept: KeptCache;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-packed-'));
  source = new PlayedSource();
  source.disks.set('2000', { bytes: guestBytes(12 * MiB), fingerprint: 'a' });
  kept = await KeptCache.in(dir, source);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const inputOf = (migrationId: string): CacheInput => ({
  ...{ ...kept.ref, migrationId, vm: source.vm, disks: [...source.disks.keys()] },
  ...{ bandwidthBytesPerSecond: 0, running: 'shutdown' },
});
const packed = () => join(kept.cache.folder, 'disk-0.packed');
const fileNames = async () => Object.keys(await kept.files());
const expectSame = async () => {
  const { cached, source: wanted } = await kept.hashes();
  expect(cached).toEqual(wanted);
};
/** As whatever came before, the next import finds all of it, and the bytes are those of the source. */
const expectNothingToCopy = async () => {
  const read = source.readBytes;
  const { disks } = await kept.copy('two');
  expect(disks).toMatchObject([...source.disks].map(() => ({ bytesCopied: 0 })));
  expect(source.readBytes).toBe(read);
  expect(await fileNames()).toEqual([...source.disks].map((_, place) => `disk-${place}.raw`));
  await expectSame();
  await verifyCached(kept.parts, inputOf('two'), { signal: never });
};

describe('a kept cache that is compressed', () => {
  it('is smaller, and the next import copies nothing and has the same bytes', async () => {
    source.disks.set('2001', { bytes: guestBytes(5 * MiB + 300), fingerprint: 'a' });
    await kept.copy('one');
    await verifyCached(kept.parts, inputOf('one'), { signal: never });
    const before = await kept.cache.takenBytes();
    await kept.keep('one');
    await kept.pack();
    expect(await fileNames()).toEqual(['disk-0.packed', 'disk-1.packed']);
    expect(await kept.cache.takenBytes()).toBeLessThan(before / 3);
    // Nothing takes an image for there that is not.
    const asked = { ...inputOf('one'), key: '2000', capacityBytes: 12 * MiB };
    await expect(cachedImage(kept.parts, asked)).rejects.toMatchObject({
      code: 'cache-incomplete',
    });
    await expect(verifyCached(kept.parts, inputOf('one'), { signal: never })).rejects.toMatchObject(
      {
        code: 'cache-incomplete',
      },
    );
    await expectNothingToCopy();
    for (const { file, capacityBytes } of (await kept.record()).disks) {
      const { size, mode } = await stat(kept.cache.pathOf({ file }));
      expect([size, mode & 0o777]).toEqual([capacityBytes, 0o600]);
    }
  });

  it('tells of each disk how far its unpacking is, and nothing of it during the copy', async () => {
    source.disks.set('2001', { bytes: guestBytes(5 * MiB + 300), fingerprint: 'a' });
    await kept.copy('one');
    await kept.keep('one');
    await kept.pack();
    kept.beats.length = 0;
    await kept.copy('two');
    const told = (kept.beats as ImportHeartbeat[]).flatMap(({ conversion }) => conversion ?? []);
    for (const key of ['2000', '2001']) {
      const own = told.filter(({ stage }) => stage.startsWith(`Unpacking ${key},`));
      expect(own.at(-1)?.percent).toBe(100);
      const percents = own.map(({ percent = 0 }) => percent);
      expect(percents).toEqual(percents.toSorted((one, other) => one - other));
    }
    expect(kept.beats.at(-1)).toEqual({ disks: expect.any(Array) as unknown });
  });

  it('of a part of a disk is gone on with where its copy was ended', async () => {
    const stop = new AbortController();
    source.onRead = () => {
      if (source.readBytes >= 8 * MiB) stop.abort(new Error('ended'));
    };
    await expect(kept.copy('one', stop.signal)).rejects.toThrow();
    source.onRead = () => undefined;
    const durable = await durableBytes();
    // As the undo of an import does it.
    await restartForeign(kept.parts, { ...inputOf('one'), restart: false }, never);
    await kept.keep('one');
    await kept.pack();
    expect(await fileNames()).toEqual(['disk-0.packed']);
    const read = source.readBytes;
    const { disks } = await kept.copy('two');
    expect(durable).toBeGreaterThan(0);
    expect(disks).toMatchObject([{ bytesFromCache: durable }]);
    expect(source.readBytes - read).toBe(12 * MiB - durable);
    await expectSame();
    await verifyCached(kept.parts, inputOf('two'), { signal: never });
  });

  it('stays as it is where nothing is won by it, and is not tried again', async () => {
    source.disks.set('2000', { bytes: randomBytes(6 * MiB), fingerprint: 'a' });
    await kept.copy('one');
    await kept.keep('one');
    for (let twice = 0; twice < 2; twice += 1) await kept.pack();
    expect(kept.said).toEqual(['left a cached disk as it is: dense']);
    expect(await fileNames()).toEqual(['disk-0.raw']);
    await expectNothingToCopy();
  });

  it.each([
    ['where it stays as it is', randomBytes(6 * MiB), ['disk-0.qcow2']],
    ['no more where it was compressed', guestBytes(6 * MiB), []],
  ])('has what a conversion made of it %s', async (_, bytes, left) => {
    source.disks.set('2000', { bytes, fingerprint: 'a' });
    await kept.copy('one');
    const folder = kept.cache.conversionFolder;
    await mkdir(folder);
    await writeFile(join(folder, 'disk-0.qcow2'), '');
    await kept.keep('one');
    await kept.pack();
    expect(await readdir(folder).catch(() => [])).toEqual(left);
  });
});

/** What the journal of the first disk vouches for. */
async function durableBytes(): Promise<number> {
  const { cache } = kept;
  const { file, capacityBytes: sizeBytes, fingerprint } = (await kept.record()).disks[0]!;
  const journal = await Journal.open({
    path: journalPathFor(cache.pathOf({ file })),
    header: { moveId: cache.key, diskName: file, sizeBytes, fingerprint, chunkBytes: MiB },
    targetStartsZeroed: true,
  });
  await journal.close();
  return journal.safe.bytes;
}

const child = (what: string, step: string, path?: string) =>
  spawn(
    process.execPath,
    [
      fileURLToPath(new URL('packing-process.ts', import.meta.url)),
      ...[dir, kept.ref.provider, what, step],
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ...(path === undefined ? {} : { PATH: path }) },
    },
  );
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

describe('a worker that is killed', () => {
  const killedAt = async (what: string, step: string): Promise<void> => {
    const [, signal] = (await once(child(what, step), 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
  };
  beforeEach(async () => {
    await kept.copy('one');
    await kept.keep('one');
  });

  it.each([
    ['packed', 1],
    ['conversion-dropped', 1],
    ['recorded', 2],
  ])('while it compresses, after "%s", leaves a whole copy', async (step, version) => {
    await killedAt('pack', step);
    expect(await fileNames()).toEqual(['disk-0.packed', 'disk-0.raw']);
    expect((await kept.record()).version).toBe(version);
    await expectNothingToCopy();
  });

  it.each(['packed', 'conversion-dropped', 'recorded'])(
    'while it compresses, after "%s", is followed by one that goes on with it',
    async (step) => {
      await killedAt('pack', step);
      await kept.pack();
      expect(await fileNames()).toEqual(['disk-0.packed']);
      await expectNothingToCopy();
    },
  );

  it.each([
    ['unpacked', 2],
    ['recorded', 1],
  ])('while it unpacks, after "%s", leaves a whole copy', async (step, version) => {
    await kept.pack();
    await killedAt('unpack', step);
    expect(await fileNames()).toEqual(['disk-0.packed', 'disk-0.raw']);
    expect((await kept.record()).version).toBe(version);
    await expectNothingToCopy();
  });

  it.each(['unpacked', 'recorded'])(
    'while it unpacks, after "%s", and whose import ends then, leaves it to be compressed again',
    async (step) => {
      await kept.pack();
      await killedAt('unpack', step);
      await kept.keep('two');
      await kept.pack();
      expect(await fileNames()).toEqual(['disk-0.packed']);
      await expectNothingToCopy();
    },
  );

  it.each(['pack', 'unpack'])(
    'while it has to %s leaves no qemu-img behind for long',
    async (what) => {
      if (what === 'unpack') await kept.pack();
      const qemuImg = await qemuImgStandIn(dir);
      await writeFile(qemuImg.hang, '');
      const worker = child(what, 'none', qemuImg.path);
      const gone = once(worker, 'exit');
      await expect.poll(() => exists(qemuImg.started)).toBe(true);
      worker.kill('SIGKILL');
      await gone;
      const left = () =>
        labelledProcesses(what === 'pack' ? kept.cache.packLabel : kept.cache.label);
      expect(await left()).not.toEqual([]);
      await expectNothingToCopy();
      expect(await left()).toEqual([]);
    },
  );
});

it('another worker of the host lets go of what it compresses once an import wants it', async () => {
  await kept.copy('one');
  await kept.keep('one');
  const qemuImg = await qemuImgStandIn(dir);
  await writeFile(qemuImg.hang, '');
  const worker = child('pack', 'none', qemuImg.path);
  const ended = once(worker, 'exit');
  await expect.poll(() => exists(qemuImg.started)).toBe(true);
  await expectNothingToCopy();
  expect(await ended).toEqual([0, null]);
});

describe('a packed disk that is damaged', () => {
  beforeEach(async () => {
    source.disks.set('2001', { bytes: guestBytes(6 * MiB), fingerprint: 'a' });
    await kept.copy('one');
    await verifyCached(kept.parts, inputOf('one'), { signal: never });
    await kept.keep('one');
    await kept.pack();
  });
  const overwrite = async (place: number): Promise<void> => {
    const file = await open(packed(), 'r+');
    await file.write(randomBytes(64), 0, 64, place);
    await file.close();
  };

  it.each<[string, () => Promise<void>]>([
    ['cut off', async () => truncate(packed(), (await stat(packed())).size - 128 * 1024)],
    ['without its header', () => overwrite(0)],
    ['with other tables', () => overwrite(4 * 64 * 1024)],
    ['gone', () => rm(packed())],
  ])('(%s) is copied anew, and that is told', async (_, damage) => {
    await damage();
    const { disks } = await kept.copy('two');
    expect(disks).toMatchObject([
      { bytesCopied: 12 * MiB, bytesFromCache: 0 },
      { bytesCopied: 0, bytesFromCache: 6 * MiB },
    ]);
    expect(disks[0]?.restarted).toContain('compressed, is damaged');
    expect(disks[1]).not.toHaveProperty('restarted');
    await expectSame();
    await verifyCached(kept.parts, inputOf('two'), { signal: never });
  });

  it('in what no table shows is seen when it is read back', async () => {
    await kept.copy('two');
    // As if it had been unpacked to other bytes.
    const image = await open(kept.cache.pathOf({ file: 'disk-0.raw' }), 'r+');
    await image.write(Buffer.from([1, 2, 3]), 0, 3, 2 * MiB);
    await image.close();
    await expect(verifyCached(kept.parts, inputOf('two'), { signal: never })).rejects.toMatchObject(
      {
        code: 'copy-differs',
      },
    );
  });
});
