import { constants } from 'node:fs';
import { open, stat, unlink, type FileHandle } from 'node:fs/promises';
import { transient } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import { takeFlock } from '../protocols/posix/flock.ts';
import { syncFolderOf } from './sync-folder.ts';

/** Where a journal's bytes live; tests put a file system that forgets behind it. */
export interface JournalStorage {
  /** Fills as much of `into` as there is from `position` on; resolves to how much that was. */
  read(position: number, into: Uint8Array): Promise<number>;
  /** Writes all of `data` at `position`; on stable storage only after `sync`. */
  write(position: number, data: Uint8Array): Promise<void>;
  truncate(length: number): Promise<void>;
  /** Resolves once content and length are on stable storage. */
  sync(): Promise<void>;
  /** Resolves once the file's name is on stable storage. */
  syncName(): Promise<void>;
  /** Removes the file, durably. */
  remove(): Promise<void>;
  /** Lets go of the file and of its lock. */
  close(): Promise<void>;
}

const openTries = 5;

/**
 * The lock dies with the process, is seen from every container and namespace that shares the file, and leaves nothing to
 * clean up; a PID in a file or a socket in the abstract namespace has neither virtue.
 */
const lock = async (file: FileHandle, path: string): Promise<void> => {
  if (!(await takeFlock(file.fd, { waitMs: 0 }))) throw inUse(path);
};

const inUse = (path: string): VmFerryError =>
  transient({
    code: 'journal-in-use',
    message: `another copy of this disk holds the journal ${path}`,
    remedy:
      'It is tried again by itself; if the other copy hangs, end its process: the lock goes with it.',
  });

/** Opens or makes the file and locks it. Throws `journal-in-use` if another copy holds it. */
export const openJournalFile = async (path: string): Promise<JournalStorage> => {
  for (let tries = 0; tries < openTries; tries++) {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      await lock(file, path);
      if (await isStillAt(file, path)) return new JournalFile(file, path);
      await file.close();
    } catch (error) {
      await file.close();
      throw error;
    }
  }
  throw new Error(`${path} was replaced ${openTries} times while it was being opened`);
};

/** Whoever held the lock before may have removed the file that we opened. */
const isStillAt = async (file: FileHandle, path: string): Promise<boolean> => {
  const mine = await file.stat({ bigint: true });
  try {
    const there = await stat(path, { bigint: true });
    return there.ino === mine.ino && there.dev === mine.dev;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
};

class JournalFile implements JournalStorage {
  readonly #file: FileHandle;
  readonly #path: string;

  constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  async read(position: number, into: Uint8Array): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const left = into.length - done;
      const { bytesRead } = await this.#file.read(into, done, left, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async write(position: number, data: Uint8Array): Promise<void> {
    let done = 0;
    while (done < data.length) {
      const left = data.length - done;
      const { bytesWritten } = await this.#file.write(data, done, left, position + done);
      done += bytesWritten;
    }
  }

  async truncate(length: number): Promise<void> {
    await this.#file.truncate(length);
  }

  async sync(): Promise<void> {
    // fdatasync also carries the length, since the content could not be read without it.
    await this.#file.datasync();
  }

  async syncName(): Promise<void> {
    await syncFolderOf(this.#path);
  }

  async remove(): Promise<void> {
    await unlink(this.#path);
    await syncFolderOf(this.#path);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
