import { open, truncate, writeFile } from 'node:fs/promises';
import { randomFillSync } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeAlignedBuffers } from '../../../transfer/aligned-buffers.ts';
import { hashDisk } from '../../../transfer/hash-tree.ts';
import { openNbdSource } from '../../../transfer/nbd-source.ts';
import { openRawSource } from '../../../transfer/raw-source.ts';
import { Bench, exec } from '../nbd/qemu-nbd-fixture.ts';

const MiB = 1024 * 1024;
/** The last sector is no whole page. */
const size = 64 * MiB + 512;
let bench: Bench;
let image: string;

beforeAll(async () => {
  bench = await Bench.open();
  image = bench.path('odd.raw');
  await writeFile(image, '');
  await truncate(image, size);
  const file = await open(image, 'r+');
  await file.write(randomFillSync(Buffer.alloc(5 * MiB)), 0, 5 * MiB, 7 * MiB + 512);
  await file.write(randomFillSync(Buffer.alloc(8 * MiB)), 0, 8 * MiB, 24 * MiB);
  await file.write(Buffer.alloc(700, 7), 0, 700, size - 700);
  await file.sync();
  await file.close();
});
afterAll(() => bench.close());

const serve = () => bench.qemuNbd({ image, format: 'raw', shared: 16 });
const sourceOf = async () => {
  const server = await serve();
  const source = await openRawSource({ what: image, address: server.address, path: image });
  return { server, source };
};

it('a raw disk read past its server hashes as through it, odd pieces and holes included', async () => {
  const { server, source } = await sourceOf();
  const plain = await openNbdSource({ what: image, address: server.address });
  const [direct, through] = [await hashDisk({ source }), await hashDisk({ source: plain })];
  expect(direct.root).toBe(through.root);
  expect(direct.dataBytes).toBe(through.dataBytes);
  expect(direct.dataBytes).toBeLessThan(16 * MiB);
  await plain.close();
  await source.close();
});

it('aligned bytes come from the file itself, and the rest from the server', async () => {
  const { server, source } = await sourceOf();
  await server.stop();
  const [into] = makeAlignedBuffers(1, MiB);
  if (into === undefined) throw new Error('no buffer');
  await source.read(24 * MiB, into);
  expect(Buffer.from(into).equals(await bytesAt(24 * MiB, MiB))).toBe(true);
  await expect(source.read(24 * MiB, into.subarray(0, 100))).rejects.toMatchObject({
    code: 'source-unreachable',
  });
  await source.close();
});

it('reads what is on the disk, not what the page cache holds', async () => {
  const device = (await exec('losetup', '--find', '--show', image)).trim();
  try {
    const server = await bench.qemuNbd({ image: device, format: 'raw', shared: 16 });
    const source = await openRawSource({ what: device, address: server.address, path: device });
    const [into] = makeAlignedBuffers(1, MiB);
    if (into === undefined) throw new Error('no buffer');
    // The device has a cache of its own, which does not hear of what changes below it.
    await exec('dd', `if=${device}`, 'of=/dev/null', 'bs=1M', 'skip=24', 'count=1');
    const file = await open(image, 'r+');
    await file.write(Buffer.alloc(MiB, 9), 0, MiB, 24 * MiB);
    await file.close();
    await source.read(24 * MiB, into);
    expect(into.every((byte) => byte === 9)).toBe(true);
    await source.close();
  } finally {
    await exec('losetup', '--detach', device);
  }
});

const bytesAt = async (offset: number, length: number): Promise<Buffer> => {
  const file = await open(image, 'r');
  const bytes = Buffer.alloc(length);
  await file.read(bytes, 0, length, offset);
  await file.close();
  return bytes;
};
