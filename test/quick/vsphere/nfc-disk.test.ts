/** A disk of one stream that cannot be wound back, against streams that are made up. */
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { transient } from '../../../domain/errors.ts';
import type { Grain } from '../../../platforms/vsphere/grain-stream.ts';
import { openGrainStream } from '../../../platforms/vsphere/grain-stream.ts';
import { NfcDisk } from '../../../platforms/vsphere/nfc-disk.ts';
import type { NfcStream } from '../../../platforms/vsphere/nfc-stream.ts';
import { grainBytes, vmdkOf } from '../ova/vmdk-writer.ts';

const grains = 8;
const sizeBytes = grains * grainBytes;
const grainOf = (nth: number): Grain => ({
  offset: nth * grainBytes,
  packed: deflateSync(Buffer.alloc(grainBytes, nth + 1)),
});
const lost = () =>
  transient({ code: 'source-unreachable', message: 'it broke off', remedy: 'Wait.' });

/** Streams of all grains but the second, or of what is given; `opened` counts them. */
function diskOf(streams: (() => AsyncGenerator<Grain, 'whole' | undefined>)[] = [], keptBytes = 0) {
  const seen = { opened: 0, closed: 0, places: [] as number[] };
  async function* whole(): AsyncGenerator<Grain, 'whole'> {
    for (let nth = 0; nth < grains; nth += 1) if (nth !== 1) yield Promise.resolve(grainOf(nth));
    return 'whole';
  }
  const open = (): Promise<NfcStream> => {
    const made = streams[seen.opened] ?? whole;
    seen.opened += 1;
    return Promise.resolve({
      ...{ capacityBytes: sizeBytes, grainBytes, grainsPerTable: 512, tables: 1 },
      ...{ compressed: true, hasZeroGrains: false, grains: made() },
      fault: (error) => error,
      close: () => Promise.resolve(void (seen.closed += 1)),
    });
  };
  const disk = new NfcDisk({
    ...{ sizeBytes, what: '[ds] a/a.vmdk', host: 'vc:443', open, keptBytes },
    onPlace: (bytes) => seen.places.push(bytes),
    explain: () => Promise.resolve(undefined),
  });
  const at = async (nth: number): Promise<number[]> => {
    const into = new Uint8Array(grainBytes).fill(99);
    await disk.read(nth * grainBytes, into);
    return [...new Set(into)];
  };
  return { disk, seen, at };
}

describe('a disk of one stream', () => {
  it('is read on, and has zeroes where no grain came', async () => {
    const { at, seen } = diskOf();
    for (let nth = 0; nth < grains; nth += 1)
      expect(await at(nth)).toEqual([nth === 1 ? 0 : nth + 1]);
    expect(seen).toMatchObject({ opened: 1, closed: 0 });
    expect(seen.places.at(-1)).toBe(sizeBytes);
  });

  it('is begun anew for what went by and is not kept, and alone for that', async () => {
    const { at, seen } = diskOf();
    expect(await at(5)).toEqual([6]);
    expect(await at(5)).toEqual([6]);
    expect(seen).toMatchObject({ opened: 1 });
    expect(await at(2)).toEqual([3]);
    expect(seen).toMatchObject({ opened: 2, closed: 1 });
    const kept = diskOf([], sizeBytes);
    expect(await kept.at(7)).toEqual([8]);
    expect(await kept.at(0)).toEqual([1]);
    expect(kept.seen).toMatchObject({ opened: 1 });
  });

  it('never takes for zeroes what a stream that broke off or was ended did not bring', async () => {
    async function* breaks(): AsyncGenerator<Grain, undefined> {
      yield Promise.resolve(grainOf(0));
      throw lost();
    }
    async function* ends(): AsyncGenerator<Grain, undefined> {
      yield Promise.resolve(grainOf(0));
      return undefined;
    }
    const { at, seen } = diskOf([breaks]);
    expect(await at(3)).toEqual([4]);
    expect(seen).toMatchObject({ opened: 2, closed: 1 });
    const never = diskOf(Array.from({ length: 8 }, () => breaks));
    await expect(never.at(3)).rejects.toMatchObject({ code: 'source-unreachable' });
    const ended = diskOf([ends]);
    await expect(ended.at(3)).rejects.toMatchObject({ kind: 'lost' });
  });

  it('writes nothing for a reader who gave up, and serves the next one', async () => {
    const go = Promise.withResolvers<undefined>();
    async function* slow(): AsyncGenerator<Grain, 'whole'> {
      yield Promise.resolve(grainOf(0));
      await go.promise;
      for (let nth = 1; nth < grains; nth += 1) yield grainOf(nth);
      return 'whole';
    }
    const { disk, at } = diskOf([slow]);
    const stop = new AbortController();
    const into = new Uint8Array(grainBytes).fill(99);
    const reading = disk.read(grainBytes, into, stop.signal);
    stop.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    go.resolve(undefined);
    expect(await at(2)).toEqual([3]);
    expect([...new Set(into)]).toEqual([99]);
    await disk.close();
    await expect(at(0)).rejects.toThrow();
  });
});

describe('a stream-optimized VMDK on its way', () => {
  const text = {
    capacityBytes: 600 * grainBytes,
    grains: { 3: Buffer.alloc(grainBytes, 7), 599: Buffer.alloc(grainBytes, 8) },
    streamed: true,
    // The place of the first grain: behind the header and the descriptor.
    spoil: (header: Buffer) => void header.writeBigUInt64LE(5n, 64),
  };
  async function* inPieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += length)
      yield Promise.resolve(bytes.subarray(at, at + length));
  }
  const offsetsOf = async (bytes: Buffer, length: number): Promise<number[]> => {
    const { grains: stream } = await openGrainStream(inPieces(bytes, length), 'it');
    const found: number[] = [];
    for await (const { offset } of stream) found.push(offset);
    return found;
  };

  it.each([1, 511, 512, 70_000, 1_000_000])('is read from pieces of %i bytes', async (length) => {
    expect(await offsetsOf(vmdkOf(text), length)).toEqual([3 * grainBytes, 599 * grainBytes]);
  });

  it('has to come to its end, wherever it is cut', async () => {
    const whole = vmdkOf(text);
    for (let end = 0; end < whole.length; end += 512)
      await expect(offsetsOf(whole.subarray(0, end), 4_096)).rejects.toMatchObject({
        kind: 'lost',
      });
  });

  it.each([
    ['a delta', { descriptor: 'parentCID=12345678\n' }],
    ['grains as they are', { streamed: false, spoil: text.spoil }],
    ['no VMDK', { spoil: (header: Buffer) => void header.write('ABCD') }],
    [
      'a far first grain',
      { spoil: (header: Buffer) => void header.writeBigUInt64LE(1n << 40n, 64) },
    ],
  ])('is refused: %s', async (_what, changes) => {
    const bytes = vmdkOf({ ...text, ...changes });
    await expect(offsetsOf(bytes, 4_096)).rejects.toMatchObject({ kind: 'malformed' });
  });
});
