/** Small JSON records that outlive the worker: one file each, whole or not there. */
import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ZodType } from 'zod';

export class Records<T> {
  readonly #folder: string;
  readonly #schema: ZodType<T>;

  constructor(options: { folder: string; schema: ZodType<T> }) {
    this.#folder = options.folder;
    this.#schema = options.schema;
  }

  /** A file name for any key: keys hold `/`, and a record must never lie outside the folder. */
  #path(key: string): string {
    return join(this.#folder, `${encodeURIComponent(key).replaceAll('.', '%2E')}.json`);
  }

  /** The record; undefined if there is none or it is not whole (then what it told of is looked for anew). */
  async read(key: string): Promise<T | undefined> {
    return this.#readFile(this.#path(key));
  }

  async list(): Promise<T[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    const records = await Promise.all(
      names
        .filter((name) => name.endsWith('.json'))
        .map((name) => this.#readFile(join(this.#folder, name))),
    );
    return records.filter((record) => record !== undefined);
  }

  /** Durable once it resolves: after a power cut the record is the old or the new one. */
  async write(key: string, record: T): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = this.#path(key);
    const temporary = `${path}.${process.pid}.tmp`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(record));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await this.#syncFolder();
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  async #readFile(path: string): Promise<T | undefined> {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    try {
      return this.#schema.safeParse(JSON.parse(text)).data;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
