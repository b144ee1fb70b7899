import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkDataDisk, listBytes, scatter, writeDataDisk } from '../../../lab/guest/data-disk.ts';

const mebibyte = 1024 * 1024;
const options = { sizeBytes: 64 * mebibyte, fillBytes: 8 * mebibyte, seed: 7 };

describe('scattered extents', () => {
  it('add up to what was asked or fits, in order, apart, within the disk', () => {
    const sizes = fc.record({
      disk: fc.integer({ min: 1, max: 100_000 }),
      fill: fc.integer({ min: 0, max: 100_000 }),
      seed: fc.integer({ min: 0, max: 1_000 }),
    });
    fc.assert(
      fc.property(sizes, ({ disk, fill, seed }) => {
        const extents = scatter(disk, fill, seed);
        let end = 16;
        for (const { offset, length } of extents) {
          expect(offset).toBeGreaterThanOrEqual(end);
          expect(length).toBeGreaterThan(0);
          end = offset + length;
        }
        if (extents.length > 0) expect(end).toBeLessThanOrEqual(disk);
        const total = extents.reduce((sum, { length }) => sum + length, 0);
        expect(total).toBe(Math.max(0, Math.min(fill, disk - 16)));
        // The guest reads their list from a place of fixed size; a line has at most 48 characters.
        expect(extents.length * 48 + 4).toBeLessThanOrEqual(listBytes);
      }),
    );
  });

  it('leave holes between them', () => {
    const extents = scatter(16_384, 4_096, 1);
    expect(extents.length).toBeGreaterThan(20);
    const touching = extents.filter(({ offset }, index) => {
      const before = extents[index - 1];
      return before !== undefined && before.offset + before.length === offset;
    });
    expect(touching.length).toBeLessThan(extents.length / 4);
  });
});

describe('data disk', () => {
  let dir: string;
  let disk: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vmferry-disk-'));
    disk = join(dir, 'data.raw');
  });
  afterEach(() => rm(dir, { recursive: true }));

  const patch = async (offset: number, bytes: Uint8Array): Promise<void> => {
    const image = await open(disk, 'r+');
    await image.write(bytes, 0, bytes.length, offset);
    await image.close();
  };
  /** A block as the guest writes it. */
  const tick = (number: number): Buffer => {
    const text = Buffer.from(`${`tick ${number} of boot 1`.padEnd(2047)}\n`);
    const sum = createHash('md5').update(text).digest('hex');
    return Buffer.concat([text, Buffer.from(`${`${sum} ${number}`.padEnd(2047)}\n`)]);
  };
  const place = (number: number): number => 4096 * (1 + (number % 64));

  it('is sparse, whole, and never booted when it is new', async () => {
    await writeDataDisk(disk, options);
    expect(await checkDataDisk(disk, options)).toEqual({ boot: 0, counter: 0, ok: 40, bad: 0 });
    const { size, blocks } = await stat(disk);
    expect(size).toBe(options.sizeBytes);
    expect(blocks * 512).toBeLessThan(10 * mebibyte);
  });

  it('is the same for the same seed and another for another', async () => {
    await writeDataDisk(disk, options);
    expect((await checkDataDisk(disk, { ...options, seed: 8 })).bad).toBeGreaterThan(0);
  });

  it('shows one wrong byte in a filled extent', async () => {
    await writeDataDisk(disk, options);
    const [first] = scatter(1024, 128, options.seed);
    await patch(first!.offset * 65_536 + 12_345, Buffer.of(0x55, 0xaa, 0x55, 0xaa));
    expect(await checkDataDisk(disk, options)).toMatchObject({ ok: 39, bad: 1 });
  });

  it('reads the newest tick of a ring that went round', async () => {
    await writeDataDisk(disk, options);
    for (let number = 1; number <= 70; number += 1) await patch(place(number), tick(number));
    expect(await checkDataDisk(disk, options)).toMatchObject({ counter: 70, ok: 104, bad: 0 });
  });

  it('shows a flushed write that was lost, though the older block in its place is sound', async () => {
    await writeDataDisk(disk, options);
    for (let number = 1; number <= 70; number += 1) {
      if (number !== 68) await patch(place(number), tick(number));
    }
    expect(await checkDataDisk(disk, options)).toMatchObject({ counter: 70, ok: 103, bad: 1 });
  });

  it('shows a torn block', async () => {
    await writeDataDisk(disk, options);
    for (let number = 1; number <= 5; number += 1) await patch(place(number), tick(number));
    await patch(place(3) + 100, Buffer.from('torn'));
    expect(await checkDataDisk(disk, options)).toMatchObject({ counter: 5, ok: 44, bad: 1 });
  });
});
