/**
 * The guest's data disk as guest/init.sh reads it: made here with data that depends on a seed alone, and checked here
 * from outside while the guest is off.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

/** Extents of data are counted in units of this many bytes. */
const unitBytes = 64 * 1024;
const blockBytes = 4096;
const ringSlots = 64;
const listOffset = 128 * blockBytes;
/** Room of the list of probes. */
export const listBytes = 16 * blockBytes;
const firstUnit = (256 * blockBytes) / unitBytes;
/** Most extents, so that the guest's check of one unit in each takes about a second. */
const maxExtents = 40;

export interface Extent {
  /** In units. */
  offset: number;
  length: number;
}

/** Pseudo-random numbers in [0, 1) from a seed (mulberry32): for places and lengths, not for secrets. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Scattered extents that add up to `fillUnits` (or to what fits) on a disk of `diskUnits`: in order, apart from each
 * other, of very different lengths.
 */
export function scatter(diskUnits: number, fillUnits: number, seed: number): Extent[] {
  const room = diskUnits - firstUnit;
  const fill = Math.min(fillUnits, room);
  if (fill <= 0) return [];
  const random = numbers(seed);
  const count = Math.min(maxExtents, fill);
  const parts = (total: number, pieces: number, least: number): number[] => {
    const weights = Array.from({ length: pieces }, () => random() + 0.02);
    const sum = weights.reduce((a, b) => a + b, 0);
    const spare = total - least * pieces;
    const sizes = weights.map((weight) => least + Math.floor((spare * weight) / sum));
    const rest = total - sizes.reduce((a, b) => a + b, 0);
    return sizes.map((size, index) => (index === 0 ? size + rest : size));
  };
  const lengths = parts(fill, count, 1);
  const gaps = parts(room - fill, count, 0);
  let next = firstUnit;
  return lengths.map((length, index) => {
    const offset = next + (gaps[index] ?? 0);
    next = offset + length;
    return { offset, length };
  });
}

/** Bytes that depend on seed and place alone: AES-CTR of zeroes, quick and incompressible. */
function content(extent: Extent, seed: number): Buffer {
  const key = createHash('sha256').update(`vmferry guest ${seed}`).digest().subarray(0, 16);
  const counter = Buffer.alloc(16);
  counter.writeUInt32BE(extent.offset, 0);
  return createCipheriv('aes-128-ctr', key, counter).update(
    Buffer.alloc(extent.length * unitBytes),
  );
}

export interface DataDiskOptions {
  sizeBytes: number;
  /** Bytes of data to scatter over it. */
  fillBytes: number;
  seed: number;
}

/** Writes a fresh raw image, sparse, or onto a device that holds only zeroes: header, list of probes, data. */
export async function writeDataDisk(
  path: string,
  options: DataDiskOptions & { onto?: 'file' | 'device' },
): Promise<void> {
  const extents = scatter(
    Math.floor(options.sizeBytes / unitBytes),
    Math.round(options.fillBytes / unitBytes),
    options.seed,
  );
  const isDevice = options.onto === 'device';
  const image = await open(path, isDevice ? 'r+' : 'wx');
  try {
    if (!isDevice) await image.truncate(options.sizeBytes);
    const list: string[] = [];
    const random = numbers(options.seed + 1);
    for (const extent of extents) {
      const data = content(extent, options.seed);
      await image.write(data, 0, data.length, extent.offset * unitBytes);
      const unit = Math.floor(random() * extent.length);
      const sum = md5(data.subarray(unit * unitBytes, (unit + 1) * unitBytes));
      list.push(`${extent.offset + unit} 1 ${sum}\n`);
    }
    await image.write(Buffer.from(`${list.join('')}end\n`), 0, null, listOffset);
    await image.write(
      Buffer.from('vmferry-guest v1 boot=0'.padEnd(blockBytes - 1) + '\n'),
      0,
      null,
      0,
    );
    if (isDevice) await image.sync();
  } finally {
    await image.close();
  }
}

const md5 = (data: Uint8Array): string => createHash('md5').update(data).digest('hex');

export interface DataDiskState {
  /** How often a guest has booted from it. */
  boot: number;
  /** The newest tick in the ring. */
  counter: number;
  /** Blocks of the ring and filled extents that are right, and that are not. */
  ok: number;
  bad: number;
}

async function readAt(image: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await image.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

function readRing(ring: Buffer): { counter: number; ok: number; bad: number } {
  const good = new Set<number>();
  let counter = 0;
  for (let slot = 0; slot < ringSlots; slot += 1) {
    const block = ring.subarray(slot * blockBytes, (slot + 1) * blockBytes);
    const [sum, tick] = block
      .subarray(blockBytes / 2)
      .toString('latin1')
      .trim()
      .split(' ');
    const number = Number(tick ?? 0);
    if (!Number.isSafeInteger(number) || number <= 0) continue;
    counter = Math.max(counter, number);
    if (sum === md5(block.subarray(0, blockBytes / 2)) && number % ringSlots === slot)
      good.add(number);
  }
  let ok = 0;
  const expected = Math.min(counter, ringSlots);
  for (let tick = counter - expected + 1; tick <= counter; tick += 1) if (good.has(tick)) ok += 1;
  return { counter, ok, bad: expected - ok };
}

/** Checks a raw image from outside, every filled byte of it; only while no guest runs on it. */
export async function checkDataDisk(
  path: string,
  options: DataDiskOptions,
): Promise<DataDiskState> {
  const image = await open(path, 'r');
  try {
    const header = (await readAt(image, 0, blockBytes)).toString('latin1');
    const boot = Number(/^vmferry-guest v1 boot=(\d+)/.exec(header)?.[1] ?? Number.NaN);
    const ring = readRing(await readAt(image, blockBytes, ringSlots * blockBytes));
    let { ok, bad } = ring;
    const units = [options.sizeBytes, options.fillBytes].map((bytes) =>
      Math.floor(bytes / unitBytes),
    );
    for (const extent of scatter(units[0] ?? 0, units[1] ?? 0, options.seed)) {
      const found = await readAt(image, extent.offset * unitBytes, extent.length * unitBytes);
      if (found.equals(content(extent, options.seed))) ok += 1;
      else bad += 1;
    }
    return { boot, counter: ring.counter, ok, bad };
  } finally {
    await image.close();
  }
}
