/**
 * Small files of `/proc`, read in place: the kernel makes them up in microseconds and waits for nobody, while Node's pool
 * of threads takes five turns for each, with 64 KiB of memory for a file whose size nobody knows. Not for `cmdline` and
 * `environ`: reading those waits for a process that waits for its storage.
 */
import { closeSync, openSync, readSync } from 'node:fs';

/** More than any line of `stat`; nothing is kept here from one read to the next. */
const buffer = Buffer.alloc(4096);

/** One open file of a process: it stays that process's when its PID is given out anew. */
export class ProcFile {
  readonly #fd: number;

  /** Throws what open(2) throws: ENOENT where there is no such process. */
  constructor(path: `/proc/${string}/${'stat' | 'comm'}`) {
    this.#fd = openSync(path, 'r');
  }

  /** What it says now; undefined once the process is gone. */
  read(): string | undefined {
    try {
      return buffer.toString('latin1', 0, readSync(this.#fd, buffer, 0, buffer.length, 0));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
      throw error;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** What the file says, or undefined if there is no such process (any more). */
export function readProcFile(path: `/proc/${string}/${'stat' | 'comm'}`): string | undefined {
  let file: ProcFile;
  try {
    file = new ProcFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return file.read();
  } finally {
    file.close();
  }
}
