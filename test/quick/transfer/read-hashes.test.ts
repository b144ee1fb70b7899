import { randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DiskSource } from '../../../domain/platform.ts';
import { differsFromRead, ReadHashes } from '../../../transfer/read-hashes.ts';

const MiB = 1024 ** 2;
const never = new AbortController().signal;
let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'read-hashes-'));
  path = join(dir, 'disk.read');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const diskOf = (bytes: Buffer): DiskSource => ({
  sizeBytes: bytes.length,
  parallelism: 4,
  async *extents(offset, length) {
    yield await Promise.resolve({ offset, length, zero: false });
  },
  read: (offset, into) => {
    into.set(bytes.subarray(offset, offset + into.length));
    return Promise.resolve();
  },
  close: () => Promise.resolve(),
});

/** Reads pieces of one MiB, those of the given places at a time. */
async function readAll(bytes: Buffer, { goesOn = false, places = [0, 1, 2, 3] } = {}) {
  const hashes = await ReadHashes.open(path, { goesOn });
  const source = hashes.of(diskOf(bytes));
  await Promise.all(places.map((place) => source.read(place * MiB, Buffer.alloc(MiB))));
  await hashes.close();
}
const differs = (bytes: Buffer) => differsFromRead(path, diskOf(bytes), never);

it('finds a copy the same as what was read, and each byte that is another', async () => {
  const bytes = randomBytes(4 * MiB);
  await readAll(bytes);
  expect(await differs(bytes)).toBeUndefined();
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(flipped.readUInt8(3 * MiB - 1) ^ 1, 3 * MiB - 1);
  expect(await differs(flipped)).toEqual({ offset: 2 * MiB, length: MiB });
});

it('wants zeroes where nothing was read', async () => {
  const bytes = randomBytes(4 * MiB);
  await readAll(bytes, { places: [0, 1] });
  expect(await differs(bytes)).toMatchObject({ offset: 2 * MiB });
  expect(await differs(Buffer.from(bytes).fill(0, 2 * MiB))).toBeUndefined();
});

it('goes on after a death, with what was read last standing for what was read before', async () => {
  const [before, now] = [randomBytes(4 * MiB), randomBytes(4 * MiB)];
  await readAll(before, { places: [0, 1] });
  // Its next entry was begun.
  await appendFile(path, randomBytes(20));
  await readAll(now, { goesOn: true, places: [1, 2, 3] });
  expect(
    await differs(Buffer.concat([before.subarray(0, MiB), now.subarray(MiB)])),
  ).toBeUndefined();
  expect(await differs(now)).toEqual({ offset: 0, length: MiB });
});

it('takes a copy whose hashes are lost for another, and one that begins anew for itself', async () => {
  const bytes = randomBytes(4 * MiB);
  await readAll(randomBytes(4 * MiB));
  await readAll(bytes);
  expect(await differs(bytes)).toBeUndefined();
  await truncate(path, 44);
  expect(await differs(bytes)).toBeDefined();
  await rm(path);
  await expect(differs(bytes)).rejects.toMatchObject({ code: 'ENOENT' });
});
