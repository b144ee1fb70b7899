/**
 * Hashes of what was read of a source, in a file beside its copy: of a source that cannot be read twice, they are all
 * that tells later whether the copy is what was read.
 *
 *   entry: offset u64, length u32, SHA-256 of the bytes (numbers big-endian). A later entry stands for an earlier one.
 */
import { open, readFile, type FileHandle } from 'node:fs/promises';
import type { DiskSource, Extent } from '../domain/platform.ts';
import { hashOnThread } from '../protocols/nbd/index.ts';
import { isShared } from './aligned-buffers.ts';
import { lendBuffers } from './buffer-pool.ts';
import { RangeSet, type Range } from './range-set.ts';
import { readHashed, sha256, type HashingSource } from './sha256.ts';
import { dataRuns } from './zero-bytes.ts';

const headBytes = 12;
const entryBytes = headBytes + 32;
/** No request of a copy carries more. */
const longestBytes = 4 * 1024 * 1024;
const mostInFlight = 4;

/** Where the hashes of a copy stand. */
export const readHashesPathFor = (path: string): string => `${path}.read`;

/** Notes what is read of one source. */
export class ReadHashes {
  readonly #file: FileHandle;
  #end: number;

  private constructor(file: FileHandle, end: number) {
    this.#file = file;
    this.#end = end;
  }

  /** `goesOn`: an earlier attempt's copy is continued, and its hashes stand. */
  static async open(path: string, { goesOn }: { goesOn: boolean }): Promise<ReadHashes> {
    const file = await open(path, goesOn ? 'a+' : 'w+', 0o600);
    const { size } = await file.stat();
    const whole = size - (size % entryBytes);
    // An entry that a killed process had begun.
    if (whole < size) await file.truncate(whole);
    await file.close();
    return new ReadHashes(await open(path, 'r+'), whole);
  }

  /** The same source; each read is noted before it is handed on. */
  of(source: DiskSource): DiskSource {
    return {
      sizeBytes: source.sizeBytes,
      parallelism: source.parallelism,
      extents: (offset, length, signal) => source.extents(offset, length, signal),
      read: async (offset, into, signal) => {
        const hash = await hashedRead(source, { offset, into }, signal);
        await this.#note({ offset, length: into.length }, hash);
      },
      close: () => source.close(),
    };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #note({ offset, length }: Range, hash: Uint8Array): Promise<void> {
    const entry = Buffer.alloc(entryBytes);
    entry.writeBigUInt64BE(BigInt(offset), 0);
    entry.writeUInt32BE(length, 8);
    entry.set(hash, headBytes);
    // Several reads end at a time, each with a place of its own.
    const at = this.#end;
    this.#end += entryBytes;
    await this.#file.write(entry, 0, entryBytes, at);
  }
}

async function hashedRead(
  source: DiskSource | HashingSource,
  { offset, into }: { offset: number; into: Uint8Array },
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if ('readHashed' in source) return source.readHashed(offset, into, signal);
  await source.read(offset, into, signal);
  return isShared(into) ? hashOnThread(into) : sha256(into);
}

interface Entry extends Range {
  hash: Buffer;
}

/**
 * Reads a copy and compares it with the hashes of what was read; what was never read has to be zeroes. Gives the first
 * range seen that differs, undefined if none does. Rejects with what `copy` throws, and if the hashes are not there.
 */
export async function differsFromRead(
  path: string,
  copy: DiskSource,
  signal: AbortSignal,
): Promise<Range | undefined> {
  const { entries, covered } = standing(await readFile(path));
  const queue = pieces(entries, { copy, covered, signal });
  let differing: Range | undefined;
  const work = async (buffer: Uint8Array): Promise<void> => {
    while (differing === undefined) {
      signal.throwIfAborted();
      const next = await queue.next();
      if (next.done === true) return;
      const { offset, length, hash } = next.value;
      const into = buffer.subarray(0, length);
      const isSame =
        hash === undefined
          ? (await copy.read(offset, into, signal), dataRuns(offset, into).length === 0)
          : hash.equals(await readHashed(copy, { offset, into }, signal));
      if (!isSame) differing ??= { offset, length };
    }
  };
  try {
    using loan = lendBuffers(mostInFlight, longestBytes);
    await Promise.all(loan.buffers.map(work));
  } finally {
    await queue.return(undefined);
  }
  return differing;
}

/** The entries that stand, and all that they speak of. */
function standing(bytes: Buffer): { entries: Entry[]; covered: RangeSet } {
  const entries: Entry[] = [];
  const covered = new RangeSet();
  for (
    let at = bytes.length - (bytes.length % entryBytes) - entryBytes;
    at >= 0;
    at -= entryBytes
  ) {
    const offset = Number(bytes.readBigUInt64BE(at));
    const length = bytes.readUInt32BE(at + 8);
    // Of a process that was killed before it wrote this one, with a later one written.
    if (length === 0 || length > longestBytes) continue;
    if (covered.overlap(offset, length) === length) continue;
    covered.add(offset, length);
    entries.push({ offset, length, hash: bytes.subarray(at + headBytes, at + entryBytes) });
  }
  return { entries: entries.toSorted((one, other) => one.offset - other.offset), covered };
}

/** All that has to be read: what has a hash, and data where there should be none. */
async function* pieces(
  entries: readonly Entry[],
  { copy, covered, signal }: { copy: DiskSource; covered: RangeSet; signal: AbortSignal },
): AsyncGenerator<Range & { hash?: Buffer }> {
  yield* entries;
  for await (const extent of copy.extents(0, copy.sizeBytes, signal))
    if (!extent.zero) yield* unread(extent, covered);
}

function* unread({ offset, length }: Extent, covered: RangeSet): Generator<Range> {
  for (const gap of covered.missing(offset, length))
    for (let at = gap.offset; at < gap.offset + gap.length; at += longestBytes)
      yield { offset: at, length: Math.min(longestBytes, gap.offset + gap.length - at) };
}
