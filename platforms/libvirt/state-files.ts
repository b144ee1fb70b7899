/** Reading and writing the small files that libvirt keeps of a VM: bounded, never through a link, durable. */
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Numbers of a user and a group of the host. */
export interface FileOwner {
  uid: number;
  gid: number;
}

/** Something lies there that libvirt does not put there; `message` is a clause that says what. */
export class OddStateFile extends Error {
  override readonly name = 'OddStateFile';
}

/** A file's bytes; undefined if there is none. Throws `OddStateFile` if it is none, or larger than `maxBytes`. */
export async function readStateFile(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    const code = codeOf(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw new OddStateFile(`${path} is a link`);
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new OddStateFile(`${path} is no file`);
    if (stats.size > maxBytes) {
      throw new OddStateFile(`${path} has ${stats.size} bytes, more than the ${maxBytes} allowed`);
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** Whether a file, or a folder with something besides locks in it, is there. */
export async function isStateThere(path: string): Promise<boolean> {
  const stats = await lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!stats?.isDirectory()) return stats !== undefined;
  return (await readdir(path)).some((name) => !name.startsWith('.'));
}

/** Names in a folder, in order; empty if there is none. Throws `OddStateFile` if they are over `most`. */
export async function stateFileNames(folder: string, most: number): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  if (names.length > most) throw new OddStateFile(`${folder} has over ${most} files`);
  return names.sort();
}

/**
 * Puts a file in place of an older one: after a power cut it is the old or the new one, whole, and on stable storage
 * once this resolves. Its owner and mode are right before it gets its name.
 */
export async function writeStateFile(
  path: string,
  content: Uint8Array,
  { owner, mode }: { owner: FileOwner; mode: number },
): Promise<void> {
  const temporary = `${path}.vmferry-new`;
  // A left-over of an attempt that was killed. What is opened next must be of our own making.
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.chown(owner.uid, owner.gid);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/**
 * Makes a folder with its owner and mode if it is not there; parents have to be. One that is there gets them too,
 * unless it is to be kept as the host has it.
 */
export async function ensureStateFolder(
  path: string,
  { keep, owner, mode }: { keep: boolean; owner: FileOwner; mode: number },
): Promise<void> {
  const isThere = await mkdir(path, { mode }).then(
    () => false,
    (error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
      return true;
    },
  );
  if (isThere && keep) return;
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const folder = await open(path, flags);
  try {
    await folder.chown(owner.uid, owner.gid);
    await folder.chmod(mode);
  } finally {
    await folder.close();
  }
  await syncFolder(dirname(path));
}

/**
 * Gives a finished folder its name, and only then. What has the name already is set aside, not removed: it may be all
 * that is left of an earlier life of the VM on this host.
 */
export async function putFolderInPlace(finished: string, place: string): Promise<void> {
  await setAside(place);
  await rename(finished, place);
  await syncFolder(dirname(place));
}

/** Renames what lies there, if anything, to a name that tells when (ms of the epoch); nothing of libvirt's looks there. */
export async function setAside(path: string): Promise<void> {
  await rename(path, `${path}.before-${Date.now()}`).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
}

/** Makes the names in a folder durable; also those that an attempt which was killed left without it. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
