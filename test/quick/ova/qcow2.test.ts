import { expect, it } from 'vitest';
import { openImage } from '../../../platforms/ova/image.ts';

const clusterBytes = 65536;

/** A qcow2 of 64 MiB without data, whose header is then spoilt. */
function qcow2(spoil: (header: Buffer) => void): Buffer {
  const image = Buffer.alloc(4 * clusterBytes);
  image.write('QFI\u00fb', 0, 'latin1');
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(64n * 1024n * 1024n, 24);
  image.writeUInt32BE(1, 36);
  image.writeBigUInt64BE(BigInt(clusterBytes), 40);
  image.writeUInt32BE(104, 100);
  spoil(image);
  return image;
}

const open = (data: Buffer) =>
  openImage(
    {
      sizeBytes: data.length,
      read: (offset, into) => {
        data.copy(into, 0, offset, offset + into.length);
        return Promise.resolve();
      },
    },
    { stated: 'unknown', what: 'x.qcow2', close: () => Promise.resolve() },
  );

it('reads an empty one as zeroes', async () => {
  const disk = await open(qcow2(() => undefined));
  const into = Buffer.alloc(4096, 1);
  await disk.read(0, into);
  expect(into.equals(Buffer.alloc(4096))).toBe(true);
  expect(disk.sizeBytes).toBe(64 * 1024 * 1024);
});

it.each<[string, string, (header: Buffer) => void]>([
  ['a backing image', 'ova-unsupported', (header) => header.writeBigUInt64BE(200n, 8)],
  ['encryption', 'ova-unsupported', (header) => header.writeUInt32BE(2, 32)],
  ['an external data file', 'ova-unsupported', (header) => header.writeBigUInt64BE(4n, 72)],
  ['features of the future', 'ova-unsupported', (header) => header.writeBigUInt64BE(64n, 72)],
  ['a mark of damage', 'ova-corrupt', (header) => header.writeBigUInt64BE(2n, 72)],
  ['no size', 'ova-malformed', (header) => header.writeBigUInt64BE(0n, 24)],
  ['an endless size', 'ova-malformed', (header) => header.writeBigUInt64BE(2n ** 60n, 24)],
  ['huge clusters', 'ova-malformed', (header) => header.writeUInt32BE(40, 20)],
  ['a table beyond its end', 'ova-malformed', (header) => header.writeBigUInt64BE(2n ** 40n, 40)],
  ['a table too short', 'ova-malformed', (header) => header.writeUInt32BE(0, 36)],
])('refuses one with %s', async (_, code, spoil) => {
  await expect(open(qcow2(spoil))).rejects.toMatchObject({ code });
});

it('tells of a cluster beyond its end', async () => {
  const image = qcow2((data) => {
    data.writeBigUInt64BE(BigInt(2 * clusterBytes), clusterBytes);
    data.writeBigUInt64BE(2n ** 40n, 2 * clusterBytes);
    data.writeBigUInt64BE((1n << 62n) | (2n ** 40n), 2 * clusterBytes + 8);
  });
  const disk = await open(image);
  for (const at of [0, clusterBytes]) {
    await expect(disk.read(at, Buffer.alloc(512))).rejects.toMatchObject({ code: 'ova-corrupt' });
  }
});
