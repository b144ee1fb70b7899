/** What an image on this host is, and who has it open to write. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { execa } from 'execa';
import { z } from 'zod';
import { needsOperator, permanent } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import { argumentsOf } from './process.ts';
import { imageArguments } from './qemu-nbd.ts';
import type { ServedImage } from './qemu-nbd.ts';

/** An image's own header, read without a lock. */
export interface ImageFacts {
  /** Size that the guest sees, bytes. */
  capacityBytes: number;
  /** Bytes taken on the storage by the top image. */
  allocationBytes: number;
  /** Paths below the top image, nearest first. */
  backing: string[];
}

const chainSchema = z
  .array(
    z.object({
      filename: z.string(),
      'virtual-size': z.int().nonnegative(),
      'actual-size': z.int().nonnegative().optional(),
    }),
  )
  .min(1)
  .max(64);

const toolTimeoutMs = 30_000;

const runTool = (command: readonly [string, ...string[]], signal: AbortSignal | undefined) =>
  execa(command[0], command.slice(1), {
    reject: false,
    timeout: toolTimeoutMs,
    maxBuffer: 1024 * 1024,
    stdin: 'ignore',
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });

/** Reads an image and its backing chain. Throws `disk-unreadable`, `path-unusable`, `program-missing`. */
export async function imageFacts(
  image: ServedImage,
  { host, signal }: { host: string; signal?: AbortSignal },
): Promise<ImageFacts> {
  // The format is stated, never probed: a guest can write any header into a raw disk.
  const chain = image.format === 'qcow2' ? ['--backing-chain'] : [];
  const args = ['info', '--force-share', '--output=json', ...chain, ...imageArguments(image, host)];
  const { stdout, failed, stderr, code } = await runTool(['qemu-img', ...args], signal);
  signal?.throwIfAborted();
  if (code === 'ENOENT') throw programMissing('qemu-img', host);
  if (failed) throw unreadable(image, { host, why: stderr || 'qemu-img did not answer in time' });
  const parsed = chainSchema.safeParse(parseJson(stdout));
  if (!parsed.success)
    throw unreadable(image, { host, why: 'qemu-img says what is not understood' });
  const [top, ...below] = parsed.data;
  return {
    capacityBytes: top?.['virtual-size'] ?? 0,
    allocationBytes: top?.['actual-size'] ?? 0,
    backing: below.map(({ filename }) => filename),
  };
}

/** `qemu-img info` gives an object for one image, an array for a chain. */
function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [value];
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Why the image cannot be taken as at rest: who has it open to write, or holds QEMU's lock on it; empty if nobody.
 * Two looks, since neither is enough: `/proc` knows this host's processes, the lock also knows other hosts on a
 * shared file system. Nothing is written: the image is opened as a writer would and closed (mtime and ctime stay).
 */
export async function imageWriters(
  image: ServedImage,
  { host, signal }: { host: string; signal?: AbortSignal },
): Promise<string[]> {
  const writers = await processesThatWrite(image.path);
  const found = writers.map(
    ({ pid, program }) => `process ${pid} (${program}) has ${image.path} open to write`,
  );
  if (found.length > 0) return found;
  const complaint = await lockComplaint(image, {
    host,
    ...(signal === undefined ? {} : { signal }),
  });
  return complaint === undefined ? [] : [complaint];
}

/**
 * Asks QEMU for the image's lock. `qemu-img info` is refused for a qcow2 image in use, but not for a raw one
 * (QEMU 7.2), so a raw one is opened as a writer; a qcow2 one is not, as that may write to its header.
 */
async function lockComplaint(
  image: ServedImage,
  { host, signal }: { host: string; signal?: AbortSignal },
): Promise<string | undefined> {
  const [, , path = ''] = imageArguments(image, host);
  const [program, ...args] =
    image.format === 'raw'
      ? (['qemu-io', '-f', 'raw', '-c', 'quit', path] as const)
      : (['qemu-img', 'info', '--format=qcow2', '--output=json', '--', path] as const);
  const { failed, stderr, code } = await runTool([program, ...args], signal);
  signal?.throwIfAborted();
  if (code === 'ENOENT') throw programMissing(program, host);
  if (!failed) return undefined;
  if (/Failed to get .*lock/.test(stderr))
    return `QEMU's lock on ${path} is held: ${oneLine(stderr)}`;
  throw unreadable(image, { host, why: stderr || 'QEMU did not answer in time' });
}

interface Writer {
  pid: number;
  program: string;
}

/** Processes that have the same file (whatever its name) open to write, from `/proc`. */
async function processesThatWrite(path: string): Promise<Writer[]> {
  const file = await stat(path, { bigint: true }).catch(() => undefined);
  if (file === undefined) return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const writers: Writer[] = [];
  // One process after the other: a host may have tens of thousands of open files.
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const writes = await Promise.all(
      descriptors.map(async (fd) => {
        const at = await stat(`/proc/${pid}/fd/${fd}`, { bigint: true }).catch(() => undefined);
        if (at?.ino !== file.ino || !isSame(at, file)) return false;
        return opensForWriting(`/proc/${pid}/fdinfo/${fd}`);
      }),
    );
    if (!writes.includes(true)) continue;
    const [program = ''] = await argumentsOf(Number(pid));
    writers.push({ pid: Number(pid), program: program.replace(/^.*\//, '') });
  }
  return writers;
}

const isSame = (
  left: { dev: bigint; rdev: bigint; isBlockDevice(): boolean },
  right: { dev: bigint; rdev: bigint; isBlockDevice(): boolean },
): boolean =>
  left.isBlockDevice() && right.isBlockDevice() ? left.rdev === right.rdev : left.dev === right.dev;

/** Access mode in the flags of an open file, octal in `fdinfo`: 1 is write, 2 read and write. */
async function opensForWriting(fdinfo: string): Promise<boolean> {
  const text = await readFile(fdinfo, 'utf8').catch(() => '');
  const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(text)?.[1] ?? '0', 8);
  return (flags & 3) !== 0;
}

const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').slice(0, 300);

const unreadable = (
  image: ServedImage,
  { host, why }: { host: string; why: string },
): VmFerryError =>
  permanent({
    code: 'disk-unreadable',
    message: `${image.path} on ${host} cannot be read as ${image.format}: ${oneLine(why)}`,
    remedy:
      'Correct path and format of the disk in the definition of the VM, or mend the image (qemu-img check).',
    host,
  });

const programMissing = (program: string, host: string): VmFerryError =>
  needsOperator({
    code: 'program-missing',
    message: `${program} cannot be run on ${host}`,
    remedy: 'Install it (Debian: qemu-utils), then `vmferry retry`.',
    host,
  });
