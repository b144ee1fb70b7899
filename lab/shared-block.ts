/**
 * Block storage that several hosts see: one file, and a loop device of its own on it for each host, as two cables of a
 * storage network lead to one disk. QEMU's locks on one of the devices say nothing to the other.
 */
import { execa } from 'execa';
import { mkdir, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { permanent } from '../domain/errors.ts';
import { detachImage, insidePaths } from './host-files.ts';
import type { LabHost } from './host.ts';

const limit = { timeout: 20_000 };

export interface SharedBlockOptions {
  /** Its name in /dev/vmferry of every host. Letters, digits, dots, underscores and hyphens. */
  name: string;
  sizeBytes: number;
  /** Size of its logical sectors; default 512. */
  sectorBytes?: 512 | 4096;
}

export interface SharedBlock {
  /** Path inside every host. */
  path: string;
  /** The file on the machine that all of them write to. */
  file: string;
}

const folderOf = (dir: string): string => join(dir, 'shared', 'blocks');

/** Makes the device, empty, on all these hosts; they have to be up. Throws `lab-invalid-options` if it exists. */
export async function addSharedBlock(
  at: { dir: string; hosts: readonly LabHost[] },
  options: SharedBlockOptions,
): Promise<SharedBlock> {
  const { name, sizeBytes, sectorBytes = 512 } = options;
  const file = join(folderOf(at.dir), `${name}.img`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) || (await isThere(file))) {
    throw permanent({
      code: 'lab-invalid-options',
      message: `"${name}" cannot name a new shared block device of the lab`,
      remedy: 'Use a name that is not in use, of up to 63 letters, digits, dots and hyphens.',
    });
  }
  await mkdir(folderOf(at.dir), { recursive: true });
  const image = await open(file, 'wx');
  try {
    await image.truncate(sizeBytes);
  } finally {
    await image.close();
  }
  for (const host of at.hosts) await attach(host, { file, name, sectorBytes });
  return { path: `${insidePaths.blockDir}/${name}`, file };
}

async function attach(
  host: LabHost,
  { file, name, sectorBytes }: { file: string; name: string; sectorBytes: number },
): Promise<void> {
  // Without direct I/O: both devices go through the file's one page cache, so each sees what the other wrote.
  const args = ['--find', '--show', '--sector-size', String(sectorBytes), file];
  const device = (await execa('losetup', args, limit)).stdout.trim();
  // The kernel's huge encoding of a device number is not needed: loop devices have major 7 and small minors.
  const { rdev } = await stat(device);
  const numbers = [rdev >> 8, rdev & 0xff].map(String);
  await host.exec(['mknod', `${insidePaths.blockDir}/${name}`, 'b', ...numbers], {
    timeoutMs: 10_000,
  });
  // For the next boot of the host (boot-host.sh).
  const list = join(host.folder, 'blocks');
  await writeFile(list, `${await listed(list)}${[name, ...numbers].join(' ')}\n`);
}

const listed = (list: string): Promise<string> => readFile(list, 'utf8').catch(() => '');

/** Takes the device away from all hosts, with its content. Nothing may use it any more. */
export async function removeSharedBlock(
  at: { dir: string; hosts: readonly LabHost[] },
  name: string,
): Promise<void> {
  for (const host of at.hosts) {
    const list = join(host.folder, 'blocks');
    const others = (await listed(list)).split('\n').filter((line) => !line.startsWith(`${name} `));
    await writeFile(list, others.join('\n'));
    if (host.isUp) await rm(host.rootOf(`${insidePaths.blockDir}/${name}`), { force: true });
  }
  const file = join(folderOf(at.dir), `${name}.img`);
  await detachImage(file);
  await rm(file, { force: true });
}

/** Detaches every loop device of the lab's shared block storage; the files stay. */
export async function detachSharedBlocks(dir: string): Promise<void> {
  const files = await readdir(folderOf(dir)).catch(() => []);
  for (const file of files) await detachImage(join(folderOf(dir), file));
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
