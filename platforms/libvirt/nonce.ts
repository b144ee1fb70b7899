/**
 * The proof that two hosts see the same storage: a random word that one leaves beside a disk and the other finds.
 *
 *   file   <folder of the image>/.vmferry-<migrationId>-<random>   holds the word
 *   RBD    <Ceph's pool>/vmferry-<migrationId>-<word>              an image whose name is the word
 *
 * Hosts are trusted, other users of a folder are not: nothing is followed out of the folder, nothing is written over,
 * and the word is for root's eyes, so that nobody can plant it elsewhere. A device and a LUN take no word. Neither does
 * NFS by QEMU, which makes files and cannot remove them.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, opendir, realpath, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const migrationPattern = /^[0-9a-zA-Z-]{1,64}$/;
/** More names than this in a folder are not read through: one more nonce costs nothing. */
const maxFolderEntries = 200_000;
const wordPattern = /^[0-9a-f]{64}$/;

/** A word beside a disk. */
export interface FileNonce {
  path: string;
  value: string;
}

/** The start of every name that a move's words have. Throws if the migration's ID could be anything but a name. */
export function noncePrefix(migrationId: string): string {
  if (!migrationPattern.test(migrationId))
    throw new Error(`not a migration ID: ${migrationId.slice(0, 80)}`);
  return `vmferry-${migrationId}-`;
}

/** A new word: 256 bits, hex. */
export const newWord = (): string => randomBytes(32).toString('hex');

/** The folder in which the image itself lies, symbolic links resolved; undefined if it is not there. */
const folderOf = async (imagePath: string): Promise<string | undefined> => {
  const resolved = await realpath(imagePath).catch(() => undefined);
  return resolved === undefined ? undefined : dirname(resolved);
};

/**
 * Leaves a word in the folder of an image, or finds the one that an earlier attempt left; durable once it resolves.
 * Undefined where the folder takes none: it is gone, read-only, full, or not the worker's to write.
 */
export async function writeFileNonce(
  migrationId: string,
  imagePath: string,
): Promise<FileNonce | undefined> {
  const prefix = `.${noncePrefix(migrationId)}`;
  const path = await folderOf(imagePath);
  if (path === undefined) return undefined;
  return inFolder(path, async (folder) => {
    for (const name of await namesIn(folder, prefix)) {
      const value = await readWord(folder, name);
      if (value !== undefined) return { path: join(path, name), value };
    }
    const name = `${prefix}${randomBytes(16).toString('hex')}`;
    const value = newWord();
    const isWritten = await writeWord(folder, name, value);
    return isWritten ? { path: join(path, name), value } : undefined;
  });
}

/** Whether the same image, by that path here, lies in the folder that holds the word. */
export async function seesFileNonce(nonce: FileNonce, imagePath: string): Promise<boolean> {
  const path = await folderOf(imagePath);
  if (path === undefined || !wordPattern.test(nonce.value)) return false;
  const found = await inFolder(path, async (folder) => readWord(folder, basename(nonce.path)));
  return found === nonce.value;
}

/** Removes every word of that move from the folder of an image, and of no other move. */
export async function removeFileNonces(migrationId: string, imagePath: string): Promise<void> {
  const prefix = `.${noncePrefix(migrationId)}`;
  const path = await folderOf(imagePath);
  if (path === undefined) return;
  await inFolder(path, async (folder) => {
    for (const name of await namesIn(folder, prefix)) {
      await unlink(inside(folder, name)).catch((error: unknown) => {
        // What cannot be removed from a folder that has become read-only is for the next attempt, or for nobody.
        if (!hasCode(error, ['ENOENT', 'EROFS', 'ESTALE'])) throw error;
      });
    }
  });
}

/** The folder stays the same one between a look and an act, whatever is renamed or linked meanwhile. */
async function inFolder<T>(
  path: string,
  act: (folder: FileHandle) => Promise<T>,
): Promise<T | undefined> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const folder = await open(path, flags).catch((error: unknown) => {
    if (hasCode(error, ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'])) return undefined;
    throw error;
  });
  if (folder === undefined) return undefined;
  try {
    return await act(folder);
  } finally {
    await folder.close();
  }
}

const inside = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

/** Names of that move alone: a longer ID that begins alike has more before its random part. */
async function namesIn(folder: FileHandle, prefix: string): Promise<string[]> {
  const names: string[] = [];
  let seen = 0;
  for await (const { name } of await opendir(`/proc/self/fd/${folder.fd}`)) {
    seen += 1;
    if (seen > maxFolderEntries) break;
    if (name.startsWith(prefix) && /^[0-9a-f]{32}$/.test(name.slice(prefix.length)))
      names.push(name);
  }
  return names.sort();
}

/**
 * The word in a file; undefined if it is none of ours: not there, a link, a pipe, another's, of another length. Read
 * past the page cache where the file system can (NFS asks the server at each opening in any case).
 */
async function readWord(folder: FileHandle, name: string): Promise<string | undefined> {
  if (basename(name) !== name || !name.startsWith('.vmferry-')) return undefined;
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const path = inside(folder, name);
  const file = await open(path, flags | constants.O_DIRECT)
    .catch(async (error: unknown) => {
      if (hasCode(error, ['EINVAL'])) return open(path, flags);
      throw error;
    })
    .catch((error: unknown) => {
      if (hasCode(error, ['ENOENT', 'ELOOP', 'EACCES', 'ENXIO', 'ESTALE'])) return undefined;
      throw error;
    });
  if (file === undefined) return undefined;
  try {
    const facts = await file.stat();
    if (!facts.isFile() || facts.size !== 65) return undefined;
    const text = await readAligned(file);
    const word = text.slice(0, 64);
    return wordPattern.test(word) ? word : undefined;
  } finally {
    await file.close();
  }
}

/** The one piece of WebAssembly that is used here: memory at a page's start, as direct reads want it. */
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

async function readAligned(file: FileHandle): Promise<string> {
  const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { bytesRead } = await file.read(new Uint8Array(buffer, 0, 4096), 0, 4096, 0);
  return Buffer.from(buffer, 0, bytesRead).toString('ascii');
}

/** False where the folder takes nothing. A part of a word is removed again. */
async function writeWord(folder: FileHandle, name: string, value: string): Promise<boolean> {
  const path = inside(folder, name);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    const file = await open(path, flags, 0o400);
    try {
      await file.writeFile(`${value}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await folder.sync();
    return true;
  } catch (error) {
    await unlink(path).catch(() => undefined);
    if (hasCode(error, ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'EOPNOTSUPP']))
      return false;
    throw error;
  }
}

const hasCode = (error: unknown, codes: readonly string[]): boolean =>
  codes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
