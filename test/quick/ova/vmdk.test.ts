import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { VmFerryError } from '../../../domain/errors.ts';
import type { DiskSource, Extent } from '../../../domain/platform.ts';
import type { Bytes } from '../../../platforms/ova/bytes.ts';
import { openImage } from '../../../platforms/ova/image.ts';
import { grainBytes, soundDescriptor, vmdkOf } from './vmdk-writer.ts';
import type { VmdkText } from './vmdk-writer.ts';

const inMemory = (data: Buffer): Bytes => ({
  sizeBytes: data.length,
  read: (offset, into) => {
    expect(offset + into.length).toBeLessThanOrEqual(data.length);
    data.copy(into, 0, offset, offset + into.length);
    return Promise.resolve();
  },
});
const close = (): Promise<void> => Promise.resolve();
const open = (data: Buffer, stated: 'vmdk' | 'raw' | 'unknown' = 'vmdk'): Promise<DiskSource> =>
  openImage(inMemory(data), { stated, what: 'x.vmdk', close });
const openText = (text: VmdkText): Promise<DiskSource> => open(vmdkOf(text));

const extentsOf = async (disk: DiskSource, offset = 0, length = disk.sizeBytes) => {
  const found: Extent[] = [];
  for await (const extent of disk.extents(offset, length)) found.push(extent);
  return found;
};
const readAll = async (disk: DiskSource): Promise<Buffer> => {
  const all = Buffer.alloc(disk.sizeBytes, 0xee);
  await disk.read(0, all);
  return all;
};

const capacityBytes = 70 * 1024 * 1024;
const grains = {
  1: randomBytes(grainBytes),
  2: Buffer.alloc(grainBytes, 'text'),
  600: randomBytes(grainBytes),
};
const plain = Buffer.alloc(capacityBytes);
for (const [number, body] of Object.entries(grains)) plain.set(body, Number(number) * grainBytes);

it.each([false, true])('reads what was written, streamed or not: %s', async (streamed) => {
  const disk = await openText({ capacityBytes, grains, streamed });
  expect(disk.sizeBytes).toBe(capacityBytes);
  expect((await readAll(disk)).equals(plain)).toBe(true);
  expect(await extentsOf(disk)).toEqual([
    { offset: 0, length: grainBytes, zero: true },
    { offset: grainBytes, length: 2 * grainBytes, zero: false },
    { offset: 3 * grainBytes, length: 597 * grainBytes, zero: true },
    { offset: 600 * grainBytes, length: grainBytes, zero: false },
    { offset: 601 * grainBytes, length: capacityBytes - 601 * grainBytes, zero: true },
  ]);
});

it('reads and tells any range', async () => {
  const disk = await openText({ capacityBytes, grains, streamed: true });
  const range = fc.tuple(
    fc.oneof(
      fc.nat(5 * grainBytes),
      fc.nat(5 * grainBytes).map((at) => at + 599 * grainBytes),
    ),
    fc.integer({ min: 1, max: 4 * grainBytes }),
  );
  await fc.assert(
    fc.asyncProperty(range, async ([offset, length]) => {
      const into = Buffer.alloc(length, 0xee);
      await disk.read(offset, into);
      expect(into.equals(plain.subarray(offset, offset + length))).toBe(true);
      let at = offset;
      for (const extent of await extentsOf(disk, offset, length)) {
        expect(extent.offset).toBe(at);
        at += extent.length;
      }
      expect(at).toBe(offset + length);
    }),
    { numRuns: 100 },
  );
});

it('takes grains that are stated to be zeroes, and a last one that is cut', async () => {
  const odd = 3 * grainBytes - 1024;
  const body = randomBytes(grainBytes - 1024);
  for (const streamed of [false, true]) {
    const disk = await openText({ capacityBytes: odd, grains: { 2: body }, streamed });
    expect((await readAll(disk)).subarray(2 * grainBytes).equals(body)).toBe(true);
  }
  const zeroes = await openText({ capacityBytes: odd, zeroGrains: [0, 1] });
  expect(await extentsOf(zeroes)).toEqual([{ offset: 0, length: odd, zero: true }]);
});

it('does not take a raw disk for the image that its guest wrote into it', async () => {
  const data = vmdkOf({ capacityBytes, grains });
  const disk = await open(data, 'raw');
  expect(disk.sizeBytes).toBe(data.length);
});

const extent = (line: string): string => soundDescriptor(capacityBytes).replace(/^RW .*$/m, line);
it.each([
  ['another file as a flat extent', extent('RW 2048 FLAT "/etc/shadow" 0')],
  ['another file as a VMFS extent', extent('RW 2048 VMFS "/etc/shadow"')],
  ['a second extent', extent('RW 8 SPARSE "a"\nRW 8 SPARSE "/etc/shadow"')],
  ['a device', extent('RW 2048 FLAT "/dev/sda" 0')],
  ['a parent', `${soundDescriptor(capacityBytes)}parentFileNameHint="/etc/shadow"\n`],
  ['a parent by its ID', soundDescriptor(capacityBytes).replace('ffffffff', '12345678')],
])('refuses a descriptor that names %s', async (_, descriptor) => {
  const opening = openText({ capacityBytes, grains, streamed: true, descriptor });
  await expect(opening).rejects.toMatchObject({ code: 'ova-unsupported' });
});

it('refuses a bare descriptor, and names what it would have led to', async () => {
  const opening = open(Buffer.from(extent('RW 2048 FLAT "/etc/shadow" 0')));
  await expect(opening).rejects.toMatchObject({ code: 'ova-unsupported' });
});

it.each<[string, (header: Buffer) => void]>([
  ['no size', (header) => header.writeBigUInt64LE(0n, 12)],
  ['a size beyond all disks', (header) => header.writeBigUInt64LE(2n ** 62n, 12)],
  ['grains of no size', (header) => header.writeBigUInt64LE(0n, 20)],
  ['grains of an odd size', (header) => header.writeBigUInt64LE(3n, 20)],
  ['grains of a gigabyte', (header) => header.writeBigUInt64LE(2n ** 21n, 20)],
  ['tables without grains', (header) => header.writeUInt32LE(0, 44)],
  ['tables of a million grains', (header) => header.writeUInt32LE(2 ** 20, 44)],
  ['a directory beyond the end', (header) => header.writeBigUInt64LE(2n ** 40n, 56)],
  [
    'a directory of too many tables',
    (header) => {
      header.writeBigUInt64LE(2n ** 36n, 12);
      header.writeBigUInt64LE(1n, 20);
      header.writeUInt32LE(1, 44);
    },
  ],
  ['a descriptor of a gigabyte', (header) => header.writeBigUInt64LE(2n ** 21n, 36)],
  ['an unknown version', (header) => header.writeUInt32LE(9, 4)],
  ['another magic', (header) => header.write('KDMX', 0)],
])('refuses a header with %s', async (_, spoil) => {
  const opening = openText({ capacityBytes, grains, spoil });
  await expect(opening).rejects.toMatchObject({ code: 'ova-malformed' });
});

it('tells a damaged grain by its number', async () => {
  const data = vmdkOf({ capacityBytes, grains, streamed: true });
  const at = data.indexOf(Buffer.from([0x78, 0x9c]));
  data.fill(0xff, at + 2, at + 200);
  const disk = await open(data);
  await expect(disk.read(grainBytes, Buffer.alloc(512))).rejects.toMatchObject({
    code: 'ova-corrupt',
    message: expect.stringContaining('grain 1') as string,
  });
});

it('tells a stream that was cut off', async () => {
  const data = vmdkOf({ capacityBytes, grains, streamed: true });
  await expect(open(data.subarray(0, -512))).rejects.toMatchObject({ code: 'ova-malformed' });
});

it('ends a read that was aborted', async () => {
  const disk = await openText({ capacityBytes, grains, streamed: true });
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(disk.read(0, Buffer.alloc(1024 * 1024), signal)).rejects.toThrow('enough');
});

it('answers damage anywhere by bytes or by an error that it names', async () => {
  const small = { capacityBytes: 40 * grainBytes, grains: { 1: grains[1], 2: grains[2] } };
  const sound = [false, true].map((streamed) => vmdkOf({ ...small, streamed }));
  const damage = fc.array(fc.tuple(fc.nat(2047), fc.boolean(), fc.nat(255)), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(damage, fc.nat(1), async (changes, which) => {
      const data = Buffer.from(sound[which] ?? []);
      for (const [at, fromEnd, byte] of changes) data[fromEnd ? data.length - 1 - at : at] = byte;
      try {
        const disk = await open(data);
        // What lies about its size is read at both ends only.
        const into = Buffer.alloc(Math.min(disk.sizeBytes, 4 * grainBytes));
        await disk.read(0, into);
        await disk.read(disk.sizeBytes - into.length, into);
      } catch (error) {
        if (!(error instanceof VmFerryError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
});
