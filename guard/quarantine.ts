import { createHash } from 'node:crypto';
import { mkdir, open, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { needsOperator } from '../domain/errors.ts';
import type { Orphan } from '../domain/orphans.ts';
import { realIo, replaceDurably } from './durable.ts';

/** The same for the same thing of the same move, at every look and after every restart. */
export const orphanId = (of: Pick<Orphan, 'migrationId' | 'kind' | 'what'>): string =>
  createHash('sha256')
    .update(JSON.stringify([of.migrationId, of.kind, of.what]))
    .digest('hex')
    .slice(0, 12);

/** What a file of the register says. `kept`: a person took it over; it is not shown any more. */
interface Entry {
  orphan: Orphan;
  kept?: { operator: string; at: string };
}

/**
 * The host's register of things that were set aside, `<stateDir>/orphans/<id>.json`. Durable when a promise resolves;
 * writing the same orphan again changes nothing, so that its date and a person's word about it stay.
 */
export class Quarantine {
  readonly #stateDir: string;
  readonly #folder: string;
  readonly #host: string;

  constructor(options: { stateDir: string; host: string }) {
    this.#stateDir = options.stateDir;
    this.#folder = join(options.stateDir, 'orphans');
    this.#host = options.host;
  }

  /** Sets a thing aside. */
  async add(orphan: Orphan): Promise<void> {
    if ((await this.#read(orphan.id)) !== undefined) return;
    await this.#write(orphan.id, { orphan });
  }

  /** Everything that was set aside and that nobody took over. A file that cannot be read throws `orphans-unreadable`. */
  async list(): Promise<Orphan[]> {
    const entries = await this.#entries();
    return entries.filter(({ kept }) => kept === undefined).map(({ orphan }) => orphan);
  }

  /** IDs of what a person took over. */
  async keptIds(): Promise<Set<string>> {
    const entries = await this.#entries();
    return new Set(entries.filter(({ kept }) => kept !== undefined).map(({ orphan }) => orphan.id));
  }

  /** A person takes it over: it leaves the list for good. */
  async keep(orphan: Orphan, operator: string): Promise<void> {
    const at = new Date().toISOString();
    await this.audit({ what: 'keep orphan', operator, orphan });
    await this.#write(orphan.id, { orphan, kept: { operator, at } });
  }

  /** It is gone. */
  async forget(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  /** One line in `<stateDir>/audit.log`, on stable storage before what it tells of is done. */
  async audit(line: { what: string; operator: string; orphan: Orphan }): Promise<void> {
    await mkdir(this.#stateDir, { recursive: true, mode: 0o700 });
    const file = await open(join(this.#stateDir, 'audit.log'), 'a', 0o600);
    try {
      const said = { at: new Date().toISOString(), host: this.#host, ...line };
      await file.appendFile(`${JSON.stringify(said)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  #path = (id: string): string => join(this.#folder, `${id}.json`);

  async #entries(): Promise<Entry[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    const ids = names.flatMap((name) => /^([0-9a-f]{12})\.json$/.exec(name)?.[1] ?? []);
    const entries = await Promise.all(ids.sort().map((id) => this.#read(id)));
    return entries.filter((entry) => entry !== undefined);
  }

  async #read(id: string): Promise<Entry | undefined> {
    try {
      return JSON.parse(await readFile(this.#path(id), 'utf8')) as Entry;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw needsOperator({
        code: 'orphans-unreadable',
        message: `${this.#path(id)} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        remedy:
          'Look at the file and mend the file system of the state folder. Nothing is removed meanwhile.',
        host: this.#host,
        cause,
      });
    }
  }

  async #write(id: string, entry: Entry): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = this.#path(id);
    await replaceDurably(
      { path, temporary: `${path}.new` },
      Buffer.from(JSON.stringify(entry)),
      realIo,
    );
  }
}
