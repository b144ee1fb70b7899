/** Small JSON records that outlive the worker: one file each, whole or not there. */
import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
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
    const names = await this.#names();
    const records = await Promise.all(
      names.map((name) => this.#readFile(join(this.#folder, name))),
    );
    return records.filter((record) => record !== undefined);
  }

  /** The keys of all records, also of those that are not whole. */
  async keys(): Promise<string[]> {
    return (await this.#names()).map((name) => decodeURIComponent(name.slice(0, -'.json'.length)));
  }

  async #names(): Promise<string[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    return names.filter((name) => name.endsWith('.json'));
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

  /** Removes the record, and what a killed writer left beside it. */
  async remove(key: string): Promise<void> {
    const path = this.#path(key);
    const names = await readdir(this.#folder).catch(() => []);
    const halves = names.filter(
      (name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.tmp'),
    );
    for (const name of halves) await rm(join(this.#folder, name), { force: true });
    await rm(path, { force: true });
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
