/** Files of an authority: whole or not there, with the right mode from their first byte, never replaced by accident. */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { needsOperator } from '../domain/errors.ts';

/** For everybody: certificates and revocation lists. */
export const publicMode = 0o644;
/** For its owner alone: keys. */
export const privateMode = 0o600;

export interface WriteOptions {
  mode: number;
  /** Whether a file that is there may be replaced. */
  replace: boolean;
}

/**
 * Writes, syncs, then puts the file in its place in one step; readers see the old file or the new one. Folders are made
 * for their owner alone. Throws `pki-file-exists` where it may not replace.
 */
export async function writeWhole(
  path: string,
  text: string,
  { mode, replace }: WriteOptions,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomUUID()}.new`;
  try {
    const file = await open(draft, 'wx', mode);
    try {
      await file.writeFile(text);
      // The umask may have taken bits that others need.
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    // A link, unlike a rename, refuses a name that is taken.
    await (replace ? rename(draft, path) : link(draft, path));
    await syncFolder(dirname(path));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    throw needsOperator({
      code: 'pki-file-exists',
      message: `${path} is there already`,
      remedy: 'Say `--force` if it may be replaced; keep a copy of it before.',
      cause,
    });
  } finally {
    await rm(draft, { force: true });
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The text of a file, or undefined if there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
