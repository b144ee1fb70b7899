import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { firstDifference, hashDisk, leafBytes } from '../../../transfer/hash-tree.ts';
import { requireSameContent } from '../../../transfer/verify.ts';
import { memorySource } from './forgetful.ts';

const grain = 1024 * 1024;
const size = 2 * leafBytes + grain + 777;

const disk = (...marks: [number, number][]): Buffer => {
  const content = Buffer.alloc(size);
  for (const [offset, length] of marks) content.fill(offset % 251 || 1, offset, offset + length);
  return content;
};

describe('the hash of a disk', () => {
  it('is SHA-256 of each leaf, the last one short, and of all leaves with the sizes', async () => {
    const content = disk([100, 5000], [leafBytes + 3 * grain, grain], [size - 10, 10]);
    const hash = await hashDisk({ source: memorySource(content, grain) });
    const sha = (...parts: Uint8Array[]) =>
      parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest();
    const leaves = [0, 1, 2].map((index) =>
      sha(content.subarray(index * leafBytes, (index + 1) * leafBytes)),
    );
    expect(hash.leaves).toEqual(Buffer.concat(leaves));
    const sizes = Buffer.alloc(16);
    sizes.writeBigUInt64BE(BigInt(size), 0);
    sizes.writeBigUInt64BE(BigInt(leafBytes), 8);
    expect(hash.root).toBe(
      sha(Buffer.from('vmferry-disk-hash-1\0'), sizes, ...leaves).toString('hex'),
    );
    expect(hash.dataBytes).toBe(grain + grain + 777);
  });

  it('is the same for a hole and for written zeroes', async () => {
    const content = disk([0, 10]);
    const sparse = await hashDisk({ source: memorySource(content, grain) });
    const written = await hashDisk({
      source: {
        ...memorySource(content, grain),
        async *extents(offset, length) {
          await Promise.resolve();
          yield { offset, length, zero: false };
        },
      },
    });
    expect(written.root).toBe(sparse.root);
    expect(written.dataBytes).toBe(size);
  });

  it('takes long runs of zeroes in few steps, and gives each of their leaves its hash', async () => {
    const count = 5000;
    const at = 4321 * leafBytes;
    const sizeBytes = count * leafBytes + 100;
    const told: number[] = [];
    const hash = await hashDisk({
      source: {
        ...memorySource(Buffer.alloc(0), grain),
        sizeBytes,
        async *extents() {
          await Promise.resolve();
          yield { offset: 0, length: at + 5, zero: true };
          yield { offset: at + 5, length: 10, zero: false };
          yield { offset: at + 15, length: sizeBytes - at - 15, zero: true };
        },
        read: (_offset, into) => Promise.resolve(void into.fill(7)),
      },
      onProgress: ({ doneBytes }) => told.push(doneBytes),
    });
    const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
    const marked = Buffer.alloc(leafBytes).fill(7, 5, 15);
    const zeroes = sha(Buffer.alloc(leafBytes));
    const expected = Array.from({ length: count }, (_, index) =>
      index === 4321 ? sha(marked) : zeroes,
    );
    expect(hash.leaves).toEqual(Buffer.concat([...expected, sha(Buffer.alloc(100))]));
    expect(told.at(-1)).toBe(sizeBytes);
  });

  it('does not depend on what the buffers held before', async () => {
    const full = await hashDisk({ source: memorySource(disk([0, size]), grain), parallelism: 1 });
    const mixed = disk([0, leafBytes], [leafBytes + grain, 100]);
    const one = await hashDisk({ source: memorySource(mixed, grain), parallelism: 1 });
    const many = await hashDisk({ source: memorySource(mixed, grain) });
    expect(one.root).toBe(many.root);
    expect(one.root).not.toBe(full.root);
  });

  it('tells the first leaf that differs, and the rest if only the size does', async () => {
    const hash = (content: Buffer) => hashDisk({ source: memorySource(content, grain) });
    const a = await hash(disk([0, 10]));
    const b = await hash(disk([0, 10], [leafBytes + 5, 1], [size - 1, 1]));
    expect(firstDifference(a, a)).toBeUndefined();
    expect(firstDifference(a, b)).toEqual({ offset: leafBytes, length: leafBytes });
    const c = await hash(Buffer.concat([disk([0, 10]), Buffer.alloc(4096 - 777)]));
    expect(c.root).not.toBe(a.root);
    expect(firstDifference(a, c)).toEqual({ offset: 2 * leafBytes, length: grain + 4096 });
    const e = await hash(Buffer.alloc(2 * leafBytes));
    const f = await hash(Buffer.alloc(leafBytes));
    expect(firstDifference(e, f)).toEqual({ offset: leafBytes, length: leafBytes });
    expect(() => requireSameContent('vda', a, b)).toThrow(`${leafBytes} bytes at ${leafBytes}`);
    expect(() => requireSameContent('vda', a, a)).not.toThrow();
  });

  it('hashes only as much of a larger target as the disk has', async () => {
    const content = disk([0, 10], [size - 5, 5]);
    const larger = Buffer.concat([content, Buffer.alloc(9000, 1)]);
    const a = await hashDisk({ source: memorySource(content, grain) });
    const b = await hashDisk({ source: memorySource(larger, 4096), sizeBytes: size });
    expect(b.root).toBe(a.root);
  });

  it('hashes an empty disk', async () => {
    const { leaves } = await hashDisk({ source: memorySource(Buffer.alloc(0), grain) });
    expect(leaves.length).toBe(0);
  });

  it('tells the first failure, and stops when told', async () => {
    const source = memorySource(disk([0, size]), grain, () =>
      Promise.reject(new Error('bad sector')),
    );
    await expect(hashDisk({ source })).rejects.toThrow('bad sector');
    const abort = new AbortController();
    const stopping = memorySource(disk([0, size]), grain, () => {
      abort.abort(new Error('enough'));
      return Promise.resolve();
    });
    const hashing = hashDisk({ source: stopping, signal: abort.signal });
    await expect(hashing).rejects.toMatchObject({ code: 'cancelled' });
  });
});
