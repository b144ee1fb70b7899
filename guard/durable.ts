import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The four steps of a durable replacement, apart so that a test can cut the power between any two. */
export interface DurableIo {
  writeAndSync(path: string, data: Uint8Array, mode: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
}

export const realIo: DurableIo = {
  async writeAndSync(path, data, mode) {
    const file = await open(path, 'w', mode);
    try {
      await file.chmod(mode);
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  rename,
  async syncFolder(path) {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};

/**
 * Replaces `path` so that a reader, also one after a power cut, sees the old bytes or the new ones and never a mix.
 * Resolves once the new ones are on stable storage. `temporary` must be in the same file system, used by one writer
 * at a time (a left-over of a killed writer is written over).
 */
export async function replaceDurably(
  target: { path: string; temporary: string; mode?: number },
  data: Uint8Array,
  io: DurableIo = realIo,
): Promise<void> {
  await io.writeAndSync(target.temporary, data, target.mode ?? 0o600);
  await io.rename(target.temporary, target.path);
  await io.syncFolder(dirname(target.path));
}
