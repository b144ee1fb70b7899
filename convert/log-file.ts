import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

/** Of what a tool says, so much from its beginning and so much from its end, bytes: its first error is in either. */
const headBytes = 4 * 1024 * 1024;
const tailBytes = 4 * 1024 * 1024;

/**
 * A tool's output in a file of bounded size. What goes beyond the first part is kept in memory, the latest of it,
 * and is written at the end.
 */
export class LogFile {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #limits: { headBytes: number; tailBytes: number };
  #written = 0;
  #tail = '';
  #head = '';
  #left = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    path: string,
    file: FileHandle,
    limits: { headBytes: number; tailBytes: number },
  ) {
    this.path = path;
    this.#file = file;
    this.#limits = limits;
  }

  /** Begins the file anew. It may hold names from inside the guest: only its owner reads it. */
  static async open(path: string, limits = { headBytes, tailBytes }): Promise<LogFile> {
    return new LogFile(path, await open(path, 'w', 0o600), limits);
  }

  write(text: string): void {
    const bytes = Buffer.byteLength(text);
    if (this.#written + bytes <= this.#limits.headBytes) {
      this.#written += bytes;
      this.#head += text;
      // A full disk must not end the conversion's own account of itself: the log is then shorter.
      this.#writing = this.#writing.then(() => this.#file.appendFile(text).catch(() => undefined));
      return;
    }
    // From here on nothing goes to the head, or the order would be lost.
    this.#written = this.#limits.headBytes;
    const kept = this.#tail + text;
    const over = Math.max(0, kept.length - this.#limits.tailBytes);
    this.#left += over;
    this.#tail = kept.slice(over);
  }

  /** All that is kept: beginning and end. */
  get text(): string {
    return this.#head + this.#tail;
  }

  async close(): Promise<void> {
    await this.#writing;
    try {
      if (this.#left > 0) {
        await this.#file.appendFile(`\n... ${this.#left} characters left out ...\n`);
      }
      await this.#file.appendFile(this.#tail);
    } catch {
      // As above: what could be written is there.
    } finally {
      await this.#file.close();
    }
  }
}
