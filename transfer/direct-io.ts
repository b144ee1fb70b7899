import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/**
 * Opens a file past the page cache. None where its file system has no direct I/O, as tmpfs and some network file
 * systems: the page cache serves as well there. Rejects with what open(2) says otherwise.
 */
export const openDirect = async (path: string, access: number): Promise<FileHandle | undefined> => {
  try {
    return await open(path, access | constants.O_DIRECT);
  } catch (error) {
    if (isInvalid(error)) return undefined;
    throw error;
  }
};

/** What a file system says that takes the flag of direct I/O, or another request, and refuses to do it. */
export const isInvalid = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EINVAL';
