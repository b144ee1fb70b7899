import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { needsOperator } from '../../../domain/errors.ts';
import type { DiskSink, DiskSource } from '../../../domain/platform.ts';
import { makeAlignedBuffers } from '../../../transfer/aligned-buffers.ts';
import { copyDisk } from '../../../transfer/copy.ts';
import { Journal } from '../../../transfer/journal.ts';
import type { Range } from '../../../transfer/range-set.ts';
import { dataRuns } from '../../../transfer/zero-bytes.ts';
import { ForgetfulFile, Fuse, forgetfulSink, forgetfulStorage, memorySource } from './forgetful.ts';

const KiB = 1024;
const granuleBytes = 64 * KiB;
const chunkBytes = 256 * KiB;
const limits = { flushBytes: 1024 * KiB, flushAfterMs: 1000, windowBytes: 2048 * KiB };
const unlimited = new Fuse(Infinity);

/** A disk that never tells of a hole, as a block device does not. */
const blindSource = (content: Buffer): DiskSource => ({
  ...memorySource(content, chunkBytes),
  async *extents(offset, length) {
    await Promise.resolve();
    yield { offset, length, zero: false };
  },
});

/** What reached the sink, in order. */
const watched = (sink: DiskSink) => {
  const writes: Range[] = [];
  const zeroings: Range[] = [];
  return {
    ...{ writes, zeroings },
    sink: {
      ...sink,
      write: (offset: number, data: Uint8Array) => {
        writes.push({ offset, length: data.length });
        return sink.write(offset, data);
      },
      writeZeroes: (offset: number, length: number) => {
        zeroings.push({ offset, length });
        return sink.writeZeroes(offset, length);
      },
    } satisfies DiskSink,
  };
};

const setUp = async (setting: {
  content: Buffer;
  target: ForgetfulFile;
  startsZeroed: boolean;
  journalFile?: ForgetfulFile;
}) => {
  const { content, target, startsZeroed, journalFile = new ForgetfulFile() } = setting;
  const { sink, ...seen } = watched(forgetfulSink(target, unlimited, startsZeroed));
  const sizeBytes = content.length;
  const journal = await Journal.open({
    path: '/the/journal',
    header: { moveId: 'm', diskName: 'vda', sizeBytes, fingerprint: 'f', chunkBytes },
    targetStartsZeroed: startsZeroed,
    storage: forgetfulStorage(journalFile, unlimited),
  });
  return { ...seen, journal, options: { source: blindSource(content), sink, journal, limits } };
};

/** 4 MiB of zeroes but for bytes in the first, and in the middle of the sixth 256 KiB. */
const mostlyZero = (): Buffer => {
  const content = Buffer.alloc(16 * chunkBytes);
  content.fill(7, 0, chunkBytes);
  content[5 * chunkBytes + 2 * granuleBytes + 100] = 1;
  return content;
};

describe('the runs of data in bytes', () => {
  it('cover every byte that is not zero, end at granules of the disk, and hold no granule of zeroes', () => {
    const [shared] = makeAlignedBuffers(1, chunkBytes);
    const places = fc.array(fc.nat(chunkBytes - 1), { maxLength: 6 });
    const property = fc.property(
      fc.nat(3 * granuleBytes),
      fc.integer({ min: 1, max: chunkBytes }),
      places,
      (offset, length, marks) => {
        const bytes = shared!.subarray(0, length).fill(0);
        const real = marks.filter((mark) => mark < length);
        for (const mark of real) bytes[mark] = 1;
        const granules = new Set(real.map((mark) => Math.floor((offset + mark) / granuleBytes)));
        const runs = dataRuns(offset, bytes);
        const found = runs.flatMap((run) => {
          expect(run.offset === offset || run.offset % granuleBytes === 0).toBe(true);
          const end = run.offset + run.length;
          expect(end === offset + length || end % granuleBytes === 0).toBe(true);
          const from = Math.floor(run.offset / granuleBytes);
          return Array.from({ length: Math.ceil(end / granuleBytes) - from }, (_, at) => from + at);
        });
        expect(found).toEqual([...granules].sort((one, other) => one - other));
      },
    );
    fc.assert(property, { numRuns: 200 });
  });
});

describe('zeroes that the source does not tell of', () => {
  it('cross, and are not written where the target has them: neither whole pieces nor granules', async () => {
    const content = mostlyZero();
    const target = new ForgetfulFile(Buffer.alloc(content.length));
    const { options, writes, zeroings, journal } = await setUp({
      content,
      target,
      startsZeroed: true,
    });
    const result = await copyDisk(options);
    expect(target.content.equals(content)).toBe(true);
    expect(writes.sort((one, other) => one.offset - other.offset)).toEqual([
      { offset: 0, length: chunkBytes },
      { offset: 5 * chunkBytes + 2 * granuleBytes, length: granuleBytes },
    ]);
    expect(zeroings).toEqual([]);
    expect(result).toEqual({
      bytesCopied: content.length,
      bytesRecopied: 0,
      totalDataBytes: content.length,
      resumedBytes: 0,
    });
    expect(journal.safe.bytes).toBe(content.length);
  });

  it('are written as zeroes over what a target holds, neighbours together', async () => {
    const content = mostlyZero();
    const target = new ForgetfulFile(Buffer.alloc(content.length, 0xaa));
    const { options, writes, zeroings } = await setUp({ content, target, startsZeroed: false });
    const atTheEnd = 2 * content.length;
    const late = { flushBytes: atTheEnd, flushAfterMs: 60_000, windowBytes: atTheEnd };
    await copyDisk({ ...options, limits: late });
    expect(target.content.equals(content)).toBe(true);
    expect(writes.map(({ length }) => length)).toEqual([chunkBytes, chunkBytes]);
    expect(zeroings).toEqual([
      { offset: chunkBytes, length: 4 * chunkBytes },
      { offset: 6 * chunkBytes, length: 10 * chunkBytes },
    ]);
  });

  it('are not asked for again once they are safe', async () => {
    const content = mostlyZero();
    const target = new ForgetfulFile(Buffer.alloc(content.length));
    const journalFile = new ForgetfulFile();
    const first = await setUp({ content, target, startsZeroed: true, journalFile });
    await copyDisk(first.options);
    const again = await setUp({ content, target, startsZeroed: false, journalFile });
    expect(await copyDisk(again.options)).toMatchObject({
      bytesCopied: 0,
      resumedBytes: content.length,
    });
  });

  it('are not called safe where the target refuses them', async () => {
    const content = Buffer.alloc(4 * chunkBytes);
    const target = new ForgetfulFile(Buffer.alloc(content.length, 0xaa));
    const { options, journal } = await setUp({ content, target, startsZeroed: false });
    const full = needsOperator({ code: 'target-disk-full', message: 'full', remedy: 'Make room.' });
    const sink = { ...options.sink, writeZeroes: () => Promise.reject(full) };
    await expect(copyDisk({ ...options, sink })).rejects.toBe(full);
    expect(journal.safe.bytes).toBe(0);
  });
});
