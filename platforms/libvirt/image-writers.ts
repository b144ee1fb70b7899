/** Who has an image open to write: this host's processes, QEMU's locks, the kernel's users of a device. */
import { readFile, readdir, stat } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import type { NetworkPlace } from '../../domain/vm.ts';
import { kernelUsers } from './block-device.ts';
import { oneLine, runTool, unreadable } from './image.ts';
import type { ImageContext } from './image.ts';
import { iscsiTarget, rbdImage } from './network-place.ts';
import { argumentsOf } from './process.ts';
import type { ServedImage } from './served-image.ts';

/**
 * Why the image cannot be taken as at rest: who has it open to write, or holds QEMU's lock on it; empty if nobody is
 * known to. Two looks, since neither is enough: `/proc` knows this host's processes, the lock also knows other hosts
 * on a shared file system. Nothing is written: the image is opened as a writer would and closed (mtime and ctime stay).
 *
 * A device's lock is known to this host's kernel only. A network disk has no lock that QEMU could be asked for (RBD's
 * exclusive lock is taken by the first write and handed over on demand, iSCSI and NFS by QEMU have none): there only
 * programs of this host that were started with the disk are found.
 */
export async function imageWriters(image: ServedImage, context: ImageContext): Promise<string[]> {
  const { network, path } = image;
  if (network !== undefined) return programsStartedWith(network, path);
  const writers = await processesThatWrite(path);
  const found = [
    ...writers.map(({ pid, program }) => `process ${pid} (${program}) has ${path} open to write`),
    ...(await kernelUsers(path)),
  ];
  if (found.length > 0) return found;
  const complaint = await lockComplaint(image, context);
  return complaint === undefined ? [] : [complaint];
}

/**
 * Asks QEMU for the image's lock. `qemu-img info` is refused for a qcow2 image in use, but not for a raw one
 * (QEMU 7.2), so a raw one is opened as a writer; a qcow2 one is not, as that may write to its header.
 */
async function lockComplaint(
  image: ServedImage,
  context: ImageContext,
): Promise<string | undefined> {
  const [program, first] =
    image.format === 'raw'
      ? (['qemu-io', ['-c', 'quit']] as const)
      : (['qemu-img', ['info', '--output=json']] as const);
  const { failed, stderr } = await runTool(program, { first, image }, context);
  if (!failed) return undefined;
  if (/Failed to get .*lock/.test(stderr))
    return `QEMU's lock on ${image.path} is held: ${oneLine(stderr)}`;
  const { host } = context;
  throw unreadable(image, { host, why: stderr || 'QEMU did not answer in time' });
}

interface Writer {
  pid: number;
  program: string;
}

const processIds = async (): Promise<number[]> =>
  (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);

/** Processes that have the same file or device (whatever its name) open to write, from `/proc`. */
async function processesThatWrite(path: string): Promise<Writer[]> {
  const file = await stat(path, { bigint: true }).catch(() => undefined);
  if (file === undefined) return [];
  const writers: Writer[] = [];
  // One process after the other: a host may have tens of thousands of open files.
  for (const pid of await processIds()) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const writes = await Promise.all(
      descriptors.map(async (fd) => {
        const at = await stat(`/proc/${pid}/fd/${fd}`, { bigint: true }).catch(() => undefined);
        if (at === undefined || !isSame(at, file)) return false;
        return opensForWriting(`/proc/${pid}/fdinfo/${fd}`);
      }),
    );
    if (writes.includes(true)) writers.push({ pid, program: await programOf(pid) });
  }
  return writers;
}

/** A device is the same under any node that leads to it, also one that somebody made with mknod. */
const isSame = (left: BigIntStats, right: BigIntStats): boolean =>
  left.isBlockDevice() || right.isBlockDevice()
    ? left.isBlockDevice() && right.isBlockDevice() && left.rdev === right.rdev
    : left.dev === right.dev && left.ino === right.ino;

/** Access mode in the flags of an open file, octal in `fdinfo`: 1 is write, 2 read and write. */
async function opensForWriting(fdinfo: string): Promise<boolean> {
  const text = await readFile(fdinfo, 'utf8').catch(() => '');
  const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(text)?.[1] ?? '0', 8);
  return (flags & 3) !== 0;
}

/** QEMUs of this host (of the machine, in the lab) whose command line opens that network disk to write. */
async function programsStartedWith(place: NetworkPlace, path: string): Promise<string[]> {
  const users: string[] = [];
  for (const pid of await processIds()) {
    const opens = (await argumentsOf(pid)).some((argument) => opensPlace(argument, place));
    if (opens) users.push(`process ${pid} (${await programOf(pid)}) was started with ${path}`);
  }
  return users;
}

/** libvirt gives QEMU each disk as `-blockdev {json}`, the storage and the format above it apart. */
export function opensPlace(argument: string, place: NetworkPlace): boolean {
  if (!argument.startsWith('{')) return false;
  const wanted = blockdevOf(place);
  try {
    const value: unknown = JSON.parse(argument);
    if (typeof value !== 'object' || value === null) return false;
    const given = value as Record<string, unknown>;
    return (
      given['read-only'] !== true && wanted.every(([key, text]) => asText(given[key]) === text)
    );
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

const asText = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : '';

function blockdevOf({ protocol, name }: NetworkPlace): [string, string][] {
  switch (protocol) {
    case 'rbd': {
      const { pool, namespace = '', image } = rbdImage(name);
      return [
        ['driver', 'rbd'],
        ['pool', pool],
        ['namespace', namespace],
        ['image', image],
      ];
    }
    case 'iscsi': {
      const { target, lun } = iscsiTarget(name);
      return [
        ['driver', 'iscsi'],
        ['target', target],
        ['lun', String(lun)],
      ];
    }
    case 'nfs':
      return [
        ['driver', 'nfs'],
        ['path', name],
      ];
    case 'nbd':
    case 'other':
      return [
        ['driver', protocol],
        ['export', name],
      ];
  }
}

async function programOf(pid: number): Promise<string> {
  const [program = ''] = await argumentsOf(pid);
  return program.replace(/^.*\//, '');
}
