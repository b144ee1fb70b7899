import { readFile, stat } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import { isAbsolute } from 'node:path';

/**
 * What is behind `path` (symbolic links followed), for `DiskIdentity.identity`:
 * `<device>:<inode>:<birth, s since 1970>` of a file, `block:<major>:<minor>` of a block device, empty if nothing is
 * there. The birth time (0 where the file system keeps none) tells a new file that was given the inode number of a
 * deleted disk from the disk itself. A network disk (`rbd:pool/image`) has none: its name is all that a host knows.
 * Other errors of `stat` are thrown as they are.
 */
export async function diskIdentity(path: string): Promise<string> {
  if (!isAbsolute(path)) return '';
  const facts = await statOrAbsent(path);
  if (facts === undefined) return '';
  if (facts.isBlockDevice()) return `block:${major(facts.rdev)}:${minor(facts.rdev)}`;
  return `${facts.dev}:${facts.ino}:${facts.birthtimeNs / 1_000_000_000n}`;
}

/**
 * One state of a source disk: `file:<dev>:<ino>:<size>:<mtime ns>:<ctime ns>:run<count>`, or
 * `block:<major>:<minor>:<size>:run<count>` for a block device, which has no times of its content: there only the
 * guard's run counter tells two states apart. Throws what `stat` throws, also if nothing is there.
 */
export async function fingerprint(path: string, runCount: number): Promise<string> {
  const facts = await stat(path, { bigint: true });
  if (facts.isBlockDevice()) {
    const number = `${major(facts.rdev)}:${minor(facts.rdev)}`;
    const sectors = await readFile(`/sys/dev/block/${number}/size`, 'ascii');
    return `block:${number}:${BigInt(sectors.trim()) * 512n}:run${runCount}`;
  }
  const { dev, ino, size, mtimeNs, ctimeNs } = facts;
  return `file:${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}:run${runCount}`;
}

async function statOrAbsent(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

// How Linux packs a device number into 64 bits: see makedev(3).
const major = (device: bigint): bigint =>
  ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
const minor = (device: bigint): bigint => (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
