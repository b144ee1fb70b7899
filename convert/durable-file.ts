import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** fsync(2) of a file, a block device or a folder. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the name of a new or removed file durable. */
export const syncFolderOf = (path: string): Promise<void> => syncPath(dirname(path));
