import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { DiskIdentity } from '../domain/ownership.ts';
import type { DiskLine } from './ledger-file.ts';

/**
 * The disk with its path as `readlink -f` gives it; a last part that does not exist (yet) is fine. A network disk has no
 * path, only a name.
 */
export async function withResolvedPath(disk: DiskIdentity): Promise<DiskLine> {
  if (!isAbsolute(disk.path)) return { ...disk, resolvedPath: '' };
  const resolved = await resolveExisting(disk.path);
  return { ...disk, resolvedPath: resolved === disk.path ? '' : resolved };
}

async function resolveExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) return path;
    return join(await resolveExisting(parent), basename(path));
  }
}
