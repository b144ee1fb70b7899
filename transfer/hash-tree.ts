import { createHash } from 'node:crypto';
import type { DiskSource, Extent } from '../domain/platform.ts';
import { lendBuffers } from './buffer-pool.ts';
import { cancelledFault } from './faults.ts';
import { ProgressMeter, type Progress } from './progress.ts';
import type { Range } from './range-set.ts';
import { readHashed, sha256 } from './sha256.ts';

/** Guest-visible bytes under one leaf. */
export const leafBytes = 4 * 1024 * 1024;
/** SHA-256. */
export const hashBytes = 32;
/** Part of the root, so that hashes of another construction never compare as equal. */
const formatTag = 'vmferry-disk-hash-1';
const mostLeavesInFlight = 4;

/**
 * The content of a disk in short: SHA-256 of each 4 MiB leaf (the last may be short), and a root over all of them.
 * It is a tree of two levels: a terabyte has 262,144 leaves, 8 MiB in all, which compare in no time.
 */
export interface DiskHash {
  /** SHA-256 over format tag, NUL, size and leaf size (u64, big-endian) and the leaves; hex. */
  root: string;
  sizeBytes: number;
  leafBytes: number;
  /** 32 bytes a leaf, in order. */
  leaves: Buffer;
  /** Bytes that had to be read. */
  dataBytes: number;
}

/** Hashes of leaves that were read before, and have not been written to since. */
export interface KnownLeaves {
  get(index: number): Uint8Array | undefined;
}

export interface HashOptions {
  source: DiskSource;
  /** How much of the source to hash, from the start; a target may be larger than the disk it holds. */
  sizeBytes?: number;
  /** These leaves are not read again. */
  known?: KnownLeaves;
  /** Counts bytes of the whole disk, holes included. */
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** Leaves in flight, each with a buffer; default and most: 4. */
  parallelism?: number;
}

interface Leaf {
  index: number;
  length: number;
  /** What has to be read; the rest is zero. */
  data: Range[];
  /** So many leaves alike, this one included; more than one only of zeroes. */
  count: number;
}

/** Leaves of zeroes handled at once, 16 GiB: a sparse disk of a terabyte must not become 262,144 small objects. */
const mostZeroLeaves = 4096;

/**
 * Hashes the guest-visible bytes of a disk: a hole and written zeroes hash alike, and so do raw and qcow2 of the
 * same content. Rejects with what the source throws (VmFerryError), or `cancelled`.
 */
export const hashDisk = async (options: HashOptions): Promise<DiskHash> => {
  const { source, sizeBytes = source.sizeBytes, parallelism = mostLeavesInFlight } = options;
  if (sizeBytes > source.sizeBytes)
    throw new RangeError(`${sizeBytes} bytes of ${source.sizeBytes}`);
  const stop = new AbortController();
  const onAbort = () => stop.abort(cancelledFault('the hash', options.signal?.reason));
  if (options.signal?.aborted === true) onAbort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const leaves = Buffer.alloc(Math.ceil(sizeBytes / leafBytes) * hashBytes);
  const progress = new ProgressMeter(options.onProgress, { totalBytes: sizeBytes, doneBytes: 0 });
  const queue = leavesOf(source, sizeBytes, stop.signal);
  const zeroLeaf = zeroHashes();
  let dataBytes = 0;
  const work = async (buffer: Uint8Array): Promise<void> => {
    for (;;) {
      stop.signal.throwIfAborted();
      const next = await queue.next();
      if (next.done === true) return;
      const leaf = next.value;
      const hash =
        leaf.data.length === 0
          ? zeroLeaf(leaf.length)
          : (options.known?.get(leaf.index) ??
            (await hashLeaf(source, leaf, { buffer, signal: stop.signal })));
      for (let index = leaf.index; index < leaf.index + leaf.count; index++) {
        leaves.set(hash, index * hashBytes);
      }
      for (const { length } of leaf.data) dataBytes += length;
      progress.add(leaf.length * leaf.count);
    }
  };
  try {
    const count = Math.min(Math.max(1, parallelism), mostLeavesInFlight);
    using loan = lendBuffers(count, leafBytes);
    const works = loan.buffers.map((buffer) =>
      work(buffer).catch((error: unknown) => stop.abort(error)),
    );
    await Promise.all(works);
    stop.signal.throwIfAborted();
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
  }
  progress.tell();
  return { root: rootOf(sizeBytes, leaves), sizeBytes, leafBytes, leaves, dataBytes };
};

/** The first leaf in which two disks differ; the whole of the longer disk's rest if only sizes do. */
export const firstDifference = (a: DiskHash, b: DiskHash): Range | undefined => {
  if (a.root === b.root) return undefined;
  if (a.leafBytes !== b.leafBytes) throw new RangeError('hashes of unlike leaf sizes');
  const common = Math.min(a.leaves.length, b.leaves.length);
  const end = Math.max(a.sizeBytes, b.sizeBytes);
  for (let at = 0; at < common; at += hashBytes) {
    if (a.leaves.compare(b.leaves, at, at + hashBytes, at, at + hashBytes) === 0) continue;
    const offset = (at / hashBytes) * a.leafBytes;
    return { offset, length: Math.min(a.leafBytes, end - offset) };
  }
  const offset = Math.min(a.sizeBytes, b.sizeBytes);
  return { offset, length: end - offset };
};

const rootOf = (sizeBytes: number, leaves: Buffer): string => {
  const sizes = Buffer.alloc(16);
  sizes.writeBigUInt64BE(BigInt(sizeBytes), 0);
  sizes.writeBigUInt64BE(BigInt(leafBytes), 8);
  return createHash('sha256').update(`${formatTag}\0`).update(sizes).update(leaves).digest('hex');
};

/** Hashes of leaves of zeroes; there are two lengths at most. */
const zeroHashes = (): ((length: number) => Uint8Array) => {
  const known = new Map<number, Uint8Array>();
  return (length) => {
    const hash = known.get(length) ?? createHash('sha256').update(Buffer.alloc(length)).digest();
    known.set(length, hash);
    return hash;
  };
};

const hashLeaf = async (
  source: DiskSource,
  leaf: Leaf,
  { buffer, signal }: { buffer: Uint8Array; signal: AbortSignal },
): Promise<Uint8Array> => {
  const bytes = buffer.subarray(0, leaf.length);
  const start = leaf.index * leafBytes;
  const [only] = leaf.data;
  if (only?.length === leaf.length) {
    return readHashed(source, { offset: start, into: bytes }, signal);
  }
  let filled = 0;
  for (const { offset, length } of leaf.data) {
    const from = offset - start;
    bytes.fill(0, filled, from);
    filled = from + length;
    await source.read(offset, bytes.subarray(from, filled), signal);
  }
  bytes.fill(0, filled);
  return sha256(bytes);
};

async function* leavesOf(
  source: DiskSource,
  sizeBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Leaf> {
  let leaf: Leaf | undefined;
  for await (const extent of source.extents(0, sizeBytes, signal)) {
    for (const part of leafParts(extent)) {
      const index = Math.floor(part.offset / leafBytes);
      if (leaf?.index !== index) {
        if (leaf !== undefined) yield leaf;
        const length = Math.min(leafBytes, sizeBytes - index * leafBytes);
        leaf = { index, length, data: [], count: Math.max(1, part.length / leafBytes) };
      }
      if (!extent.zero) leaf.data.push(part);
    }
  }
  if (leaf !== undefined) yield leaf;
}

/** An extent cut at the borders of leaves; of zeroes, many whole leaves are one part. */
function* leafParts({ offset, length, zero }: Extent): Generator<Range> {
  const end = offset + length;
  for (let at = offset; at < end;) {
    const wholeLeaves = at % leafBytes === 0 ? Math.floor((end - at) / leafBytes) : 0;
    const part =
      zero && wholeLeaves > 1
        ? Math.min(wholeLeaves, mostZeroLeaves) * leafBytes
        : Math.min(leafBytes - (at % leafBytes), end - at);
    yield { offset: at, length: part };
    at += part;
  }
}
