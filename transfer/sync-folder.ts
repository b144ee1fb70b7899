import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes the name of a new or removed file durable: fsync(2) of its folder. */
export const syncFolderOf = async (path: string): Promise<void> => {
  const folder = await open(dirname(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};
