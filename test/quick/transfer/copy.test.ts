import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DiskSource, Extent } from '../../../domain/platform.ts';
import { needsOperator, transient } from '../../../domain/errors.ts';
import { copyDisk, type CopyOptions } from '../../../transfer/copy.ts';
import { Journal } from '../../../transfer/journal.ts';
import { RangeSet, type Range } from '../../../transfer/range-set.ts';
import type { Progress } from '../../../transfer/progress.ts';
import { Throttle } from '../../../transfer/throttle.ts';
import {
  ForgetfulFile,
  Fuse,
  forgetfulSink,
  forgetfulStorage,
  memorySource,
  seededDice,
  sparseContent,
} from './forgetful.ts';

const chunkBytes = 1024;
const limits = { flushBytes: 8 * 1024, flushAfterMs: 5, windowBytes: 24 * 1024 };
const unlimited = new Fuse(Infinity);

interface Setting {
  content?: Buffer;
  target?: ForgetfulFile;
  startsZeroed?: boolean;
  source?: Partial<DiskSource>;
  journalFile?: ForgetfulFile;
}

const setUp = async (setting: Setting = {}) => {
  const content = setting.content ?? sparseContent(50_000, 512, seededDice(1));
  const target = setting.target ?? new ForgetfulFile(Buffer.alloc(content.length));
  const sink = forgetfulSink(target, unlimited, setting.startsZeroed ?? true);
  const journal = await Journal.open({
    path: '/the/journal',
    header: {
      moveId: 'm',
      diskName: 'vda',
      sizeBytes: content.length,
      fingerprint: 'f',
      chunkBytes,
    },
    targetStartsZeroed: sink.startsZeroed,
    storage: forgetfulStorage(setting.journalFile ?? new ForgetfulFile(), unlimited),
  });
  const source = { ...memorySource(content, 512), ...setting.source };
  const options: CopyOptions = { source, sink, journal, limits };
  return { content, target, sink, journal, source, options };
};

describe('copying', () => {
  it('moves data only, and reports honest totals', async () => {
    const { content, target, options } = await setUp();
    const seen: Progress[] = [];
    const result = await copyDisk({ ...options, onProgress: (progress) => seen.push(progress) });
    expect(target.content.equals(content)).toBe(true);
    let data = 0;
    for (let at = 0; at < content.length; at += 512) {
      const part = content.subarray(at, at + 512);
      if (part.some((byte) => byte !== 0)) data += part.length;
    }
    expect(result).toEqual({
      bytesCopied: data,
      bytesRecopied: 0,
      totalDataBytes: data,
      resumedBytes: 0,
    });
    expect(seen.at(-1)).toMatchObject({ totalBytes: data, doneBytes: data });
  });

  it('writes zeroes over what a target holds that did not start zeroed, its longer tail included', async () => {
    const target = new ForgetfulFile(Buffer.alloc(60_000, 0xaa));
    const { content, options } = await setUp({ target, startsZeroed: false });
    await copyDisk(options);
    expect(target.content.subarray(0, content.length).equals(content)).toBe(true);
    expect(target.content.subarray(content.length).equals(Buffer.alloc(10_000))).toBe(true);
  });

  it('leaves ranges alone that the source calls unchanged', async () => {
    const content = Buffer.alloc(3072, 5);
    const target = new ForgetfulFile(Buffer.alloc(3072, 9));
    const extents: Extent[] = [
      { offset: 0, length: 1024, zero: false, unchanged: true },
      { offset: 1024, length: 1024, zero: true },
      { offset: 2048, length: 1024, zero: false },
    ];
    const { options } = await setUp({
      content,
      target,
      startsZeroed: false,
      source: {
        async *extents() {
          await Promise.resolve();
          yield* extents;
        },
      },
    });
    const result = await copyDisk(options);
    const parts = [Buffer.alloc(1024, 9), Buffer.alloc(1024, 0), Buffer.alloc(1024, 5)];
    expect(target.content).toEqual(Buffer.concat(parts));
    expect(result).toMatchObject({ bytesCopied: 1024, totalDataBytes: 1024 });
  });

  it('refuses a target that is too small', async () => {
    const { options, sink } = await setUp();
    const small = { ...sink, sizeBytes: 49_999 };
    await expect(copyDisk({ ...options, sink: small })).rejects.toMatchObject({
      code: 'target-too-small',
    });
  });

  it('never has more at stake than its window, nor more reads than told', async () => {
    const { options, source, sink, journal } = await setUp({
      content: sparseContent(300_000, 1024, seededDice(2)),
    });
    let [reads, mostReads, started, durable, atStake] = [0, 0, 0, 0, 0];
    const counted: CopyOptions = {
      ...options,
      maxInFlight: 7,
      source: {
        ...source,
        read: async (offset, into, signal) => {
          mostReads = Math.max(mostReads, ++reads);
          started += into.length;
          atStake = Math.max(atStake, started - durable);
          await source.read(offset, into, signal);
          reads--;
        },
      },
    };
    const record = journal.durable.bind(journal);
    journal.durable = async (written, zeroed) => {
      await record(written, zeroed);
      for (const { length } of written) durable += length;
    };
    // A flush so slow that reads would run far ahead of it.
    const flush = async (): Promise<void> => {
      for (let turn = 0; turn < 60; turn++) await new Promise((resolve) => setImmediate(resolve));
      await sink.flush();
    };
    await copyDisk({ ...counted, sink: { ...sink, flush } });
    expect(mostReads).toBeGreaterThan(3);
    expect(mostReads).toBeLessThanOrEqual(7);
    expect(atStake).toBeGreaterThan(8 * 1024);
    expect(atStake).toBeLessThanOrEqual(limits.windowBytes);
  });

  it('tells of data once it is durable, all of it, and never before', async () => {
    const { content, journal, options } = await setUp();
    const told = new RangeSet();
    let early = 0;
    const onDurable = (ranges: readonly Range[]) => {
      for (const { offset, length } of ranges) {
        early += length - journal.safe.overlap(offset, length);
        told.add(offset, length);
      }
    };
    await copyDisk({ ...options, onDurable });
    expect(early).toBe(0);
    const silent = [...told.missing(0, content.length)];
    expect(told.bytes).toBeGreaterThan(0);
    for (const { offset, length } of silent) {
      expect(content.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('passes the throttle before each read', async () => {
    const { options } = await setUp();
    const throttle = new Throttle({ bytesPerSecond: 0 });
    let asked = 0;
    throttle.take = (bytes) => {
      asked += bytes;
      return Promise.resolve();
    };
    const { bytesCopied } = await copyDisk({ ...options, throttle });
    expect(asked).toBe(bytesCopied);
  });
});

describe('a copy that ends early', () => {
  const lost = () =>
    transient({ code: 'source-unreachable', message: 'gone', remedy: 'It is tried again.' });

  it('tells the first failure, records what was written, and goes on from there', async () => {
    const journalFile = new ForgetfulFile();
    let left = 20;
    const content = sparseContent(50_000, 512, seededDice(3));
    const failing = await setUp({
      content,
      journalFile,
      source: memorySource(content, 512, () =>
        left-- > 0 ? Promise.resolve() : Promise.reject(lost()),
      ),
    });
    await expect(copyDisk(failing.options)).rejects.toMatchObject({ code: 'source-unreachable' });
    const safe = failing.journal.safe.bytes;
    expect(safe).toBeGreaterThan(0);
    const again = await setUp({
      content,
      journalFile,
      target: failing.target,
      startsZeroed: false,
    });
    const result = await copyDisk(again.options);
    expect(result.resumedBytes).toBe(safe);
    expect(result.bytesCopied).toBe(result.totalDataBytes - safe);
    expect(again.target.content.equals(content)).toBe(true);
  });

  it('has nothing under way any more when it rejects after an abort', async () => {
    const abort = new AbortController();
    let [reads, writes, underWay] = [0, 0, 0];
    const { options, source, sink, target, content, journal } = await setUp();
    const during = async (act: () => Promise<void>): Promise<void> => {
      underWay++;
      await act();
      underWay--;
    };
    const copying = copyDisk({
      ...options,
      signal: abort.signal,
      source: {
        ...source,
        read: (offset, into) => {
          if (++reads === 10) abort.abort(new Error('worker stops'));
          return during(() => source.read(offset, into));
        },
      },
      sink: {
        ...sink,
        write: (offset, data) => (writes++, during(() => sink.write(offset, data))),
      },
    });
    await expect(copying).rejects.toMatchObject({
      code: 'cancelled',
      handling: 'cancelled',
      cause: { message: 'worker stops' },
    });
    expect(underWay).toBe(0);
    expect(writes).toBeGreaterThan(0);
    for (const { offset, length } of journal.safe) {
      const there = target.content.subarray(offset, offset + length);
      expect(there.equals(content.subarray(offset, offset + length))).toBe(true);
    }
  });

  it('trusts no later flush once a write or a flush has failed', async () => {
    const full = needsOperator({ code: 'target-disk-full', message: 'full', remedy: 'Make room.' });
    for (const broken of ['write', 'flush'] as const) {
      const { options, sink } = await setUp();
      const seen = { write: 0, flush: 0 };
      const failing = {
        ...sink,
        write: (offset: number, data: Uint8Array) =>
          ++seen.write === 3 && broken === 'write'
            ? Promise.reject(full)
            : sink.write(offset, data),
        flush: () =>
          ++seen.flush === 1 && broken === 'flush' ? Promise.reject(full) : sink.flush(),
      };
      const slowly = { ...limits, flushAfterMs: 10_000 };
      const copying = copyDisk({ ...options, sink: failing, limits: slowly, maxInFlight: 2 });
      await expect(copying).rejects.toBe(full);
      // The third write fails long before 8 KiB call for a flush.
      expect(seen.flush).toBe(broken === 'flush' ? 1 : 0);
    }
  });

  it('survives faults at random: it fails cleanly or ends byte-identical, and a resume always does', async () => {
    const faults = fc.record({
      seed: fc.nat(),
      reads: fc.double({ min: 0.02, max: 0.1, noNaN: true }),
      writes: fc.double({ min: 0, max: 0.05, noNaN: true }),
    });
    let failed = 0;
    const property = fc.asyncProperty(faults, async ({ seed, reads, writes }) => {
      const dice = seededDice(seed);
      const content = sparseContent(30_000, 512, dice);
      const target = new ForgetfulFile(Buffer.alloc(content.length));
      const journalFile = new ForgetfulFile();
      for (let attempt = 0; attempt < 4; attempt++) {
        const healthy = attempt === 3;
        const { options, sink, source } = await setUp({ content, target, journalFile });
        const strikes = (odds: number) => !healthy && dice() < odds;
        const copying = copyDisk({
          ...options,
          source: {
            ...source,
            read: async (at, into) => {
              if (strikes(reads)) throw lost();
              await source.read(at, into);
            },
          },
          sink: {
            ...sink,
            write: async (at, data) => {
              const torn = strikes(writes);
              await sink.write(at, torn ? data.subarray(0, data.length >> 1) : data);
              if (torn) throw lost();
            },
          },
        });
        const ended = await copying.then(
          () => undefined,
          (error: unknown) => error,
        );
        if (ended === undefined) expect(target.content.equals(content)).toBe(true);
        else expect(ended).toMatchObject({ code: 'source-unreachable' });
        if (ended !== undefined) failed++;
        if (healthy) expect(ended).toBeUndefined();
      }
    });
    await fc.assert(property, { numRuns: 25 });
    expect(failed).toBeGreaterThan(4);
  });
});
