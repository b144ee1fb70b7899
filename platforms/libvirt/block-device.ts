/** What the kernel tells of a block device, read from /sys and /proc without opening it. */
import { readFile, readdir, stat } from 'node:fs/promises';

/** `major:minor` of the block device behind a path (links followed); undefined if it is none, or not there. */
async function deviceNumber(path: string): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined);
  if (facts?.isBlockDevice() !== true) return undefined;
  const { rdev } = facts;
  // How Linux packs a device number into 64 bits: see makedev(3).
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/**
 * Why the kernel itself uses a device, or a partition of it: mounted, or below another device (LVM, RAID, multipath);
 * empty if it does not. Only mounts of this process's namespace are seen.
 */
export async function kernelUsers(path: string): Promise<string[]> {
  const whole = await deviceNumber(path);
  if (whole === undefined) return [];
  const numbers = [whole, ...(await partitionsOf(whole))];
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const users: string[] = [];
  for (const number of numbers) {
    const what = number === whole ? path : `partition ${number} of ${path}`;
    const holders = await readdir(`/sys/dev/block/${number}/holders`).catch(() => []);
    if (holders.length > 0) users.push(`${what} is part of ${holders.join(', ')}`);
    const mount = mounts.split('\n').find((line) => line.split(' ')[2] === number);
    if (mount !== undefined) users.push(`${what} is mounted on ${mount.split(' ')[4] ?? ''}`);
  }
  return users;
}

async function partitionsOf(number: string): Promise<string[]> {
  const folder = `/sys/dev/block/${number}`;
  const names = await readdir(folder).catch(() => []);
  const numbers = await Promise.all(
    names.map(async (name) => {
      const isPartition = await readFile(`${folder}/${name}/partition`).then(
        () => true,
        () => false,
      );
      return isPartition ? (await readFile(`${folder}/${name}/dev`, 'ascii')).trim() : undefined;
    }),
  );
  return numbers.filter((each) => each !== undefined);
}
