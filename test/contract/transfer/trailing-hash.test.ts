import { createHash, randomFillSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DiskSource } from '../../../domain/platform.ts';
import { hashDisk, leafBytes } from '../../../transfer/hash-tree.ts';
import { TrailingHash } from '../../../transfer/trailing-hash.ts';
import { exec } from '../nbd/qemu-nbd-fixture.ts';

/** The last leaf is no whole page long. */
const size = 3 * leafBytes + 1000;
let folder: string;
let path: string;
let content: Buffer;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trailing-'));
  path = join(folder, 'disk.raw');
  content = randomFillSync(Buffer.alloc(size));
  await writeFile(path, content, { flush: true });
});
afterEach(() => rm(folder, { recursive: true }));

const follow = async (): Promise<TrailingHash> => {
  const trailing = await TrailingHash.open(path, size);
  if (trailing === undefined) throw new Error(`${path} cannot be read past the page cache`);
  return trailing;
};

const sha = (index: number): Uint8Array =>
  Uint8Array.from(
    createHash('sha256')
      .update(content.subarray(index * leafBytes, (index + 1) * leafBytes))
      .digest(),
  );

const known = (trailing: TrailingHash, index: number) =>
  trailing.get(index) && Uint8Array.from(trailing.get(index) ?? []);

it('leaves are known once they are durable as a whole, and not before', async () => {
  const trailing = await follow();
  trailing.durable([
    { offset: leafBytes, length: leafBytes / 2 },
    { offset: 0, length: leafBytes },
  ]);
  await expect.poll(() => known(trailing, 0)).toEqual(sha(0));
  expect(known(trailing, 1)).toBeUndefined();
  trailing.durable([{ offset: 1.5 * leafBytes, length: leafBytes }]);
  await expect.poll(() => known(trailing, 1)).toEqual(sha(1));
  expect(known(trailing, 2)).toBeUndefined();
  await trailing.close();
});

it('verification reads what is not known, and comes to the same root', async () => {
  const trailing = await follow();
  trailing.durable([{ offset: 0, length: 2 * leafBytes }]);
  await expect.poll(() => known(trailing, 1)).toEqual(sha(1));
  await expect.poll(() => known(trailing, 0)).toEqual(sha(0));
  await trailing.close();
  const read: number[] = [];
  const source: DiskSource = {
    sizeBytes: size,
    parallelism: 2,
    // eslint-disable-next-line @typescript-eslint/require-await -- the interface is that of slow sources
    async *extents() {
      yield { offset: 0, length: size, zero: false };
    },
    read: (offset, into) => {
      read.push(offset / leafBytes);
      into.set(content.subarray(offset, offset + into.length));
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
  const all = await hashDisk({ source });
  read.length = 0;
  const rest = await hashDisk({ source, known: trailing });
  expect(rest.root).toBe(all.root);
  expect(read.sort()).toEqual([2, 3]);
});

it('it reads what is stored, not what the page cache holds', async () => {
  const device = (await exec('losetup', '--find', '--show', path)).trim();
  try {
    // The device has a cache of its own, which does not hear of what changes below it.
    await exec('dd', `if=${device}`, 'of=/dev/null', 'bs=4M');
    randomFillSync(content);
    await writeFile(path, content, { flush: true, flag: 'r+' });
    const trailing = await TrailingHash.open(device, size - (size % 4096));
    trailing?.durable([{ offset: 0, length: leafBytes }]);
    await expect.poll(() => trailing && known(trailing, 0)).toEqual(sha(0));
    await trailing?.close();
  } finally {
    await exec('losetup', '--detach', device);
  }
});

it('it ends when told, with what is under way, and a file that is not there is nobody to follow', async () => {
  const trailing = await follow();
  trailing.durable([{ offset: 0, length: 3 * leafBytes }]);
  await trailing.close();
  await trailing.close();
  const before = [0, 1, 2].map((index) => known(trailing, index) !== undefined);
  trailing.durable([{ offset: 0, length: size }]);
  expect([0, 1, 2].map((index) => known(trailing, index) !== undefined)).toEqual(before);
  expect(await TrailingHash.open(join(folder, 'absent'), size)).toBeUndefined();
});
