/**
 * What a conversion host keeps of a foreign VM, `<cacheDir>/<key>/`: raw images or packed ones, with their journals,
 * overlays of the conversion, and a record. The key is of provider and VM alone: another import of the VM finds what an earlier one
 * copied, and the journals tell by the disks' fingerprints whether it is still of use.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { endLabelled } from '../../convert/labelled-process.ts';
import { needsOperator } from '../../domain/errors.ts';
import { realIo, replaceDurably } from '../../guard/durable.ts';
import { withVmLock } from '../../guard/lock.ts';
import { journalPathFor } from '../../transfer/journal.ts';
import { readHashesPathFor } from '../../transfer/read-hashes.ts';
import { owesSource, recordSchema } from './cache-record.ts';
import type { CachedDiskRecord, CacheRecord } from './cache-record.ts';
import type { ImportRef } from './contract.ts';
import { blocksOf } from './file-blocks.ts';
import { callOff, workIdly } from './idle-work.ts';
import type { IdleWork } from './idle-work.ts';

const recordFile = 'record.json';
const lockMs = 30_000;
/** Of work that can as well be done at another time. */
const idleLockMs = 1_000;
const keyPattern = /^[0-9a-f]{32}$/;

export class ImportCache {
  readonly key: string;
  readonly folder: string;
  /**
   * Marks programs that work on it. Of its place, too: a worker of another fleet on the same machine, which sees all
   * processes, may have imported the same VM from a provider of the same name.
   */
  readonly label: string;
  readonly #stateDir: string;
  readonly #host: string;
  readonly #what: string;

  constructor(
    place: { cacheDir: string; stateDir: string; host: string },
    of: { provider: string; vm: string } | { key: string },
  ) {
    this.key = 'key' in of ? of.key : keyOf(of.provider, of.vm);
    if (!keyPattern.test(this.key)) throw new Error(`no key of a cache: ${this.key.slice(0, 80)}`);
    this.folder = join(place.cacheDir, this.key);
    this.label = `${this.key}.${sha256(place.cacheDir).slice(0, 12)}`;
    this.#stateDir = place.stateDir;
    this.#host = place.host;
    this.#what = 'key' in of ? this.folder : `${of.vm} of ${of.provider}`;
  }

  pathOf = ({ file }: Pick<CachedDiskRecord, 'file'>): string => join(this.folder, file);

  /** Of a disk that is compressed, in the image's place. */
  packedPathOf = ({ file }: Pick<CachedDiskRecord, 'file'>): string =>
    join(this.folder, file.replace(/raw$/, 'packed'));

  /** Marks programs that compress, apart from all that an import waits for. */
  get packLabel(): string {
    return `${this.label}.pack`;
  }

  /** Where the conversion works: overlays, journal, log. */
  get conversionFolder(): string {
    return join(this.folder, 'conversion');
  }

  /**
   * Alone with it on this host; the kernel lets go of the lock however the process ends. What another does there that
   * nobody waits for is called off. Throws `vm-locked`.
   */
  async alone<T>(operation: string, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    callOff(this.folder);
    const { until, compress } = (await this.read().catch(() => undefined)) ?? {};
    // Of another worker of this host, which then lets go, or of one that was killed.
    if (until !== undefined && compress === true) await endLabelled(this.packLabel);
    // Once more, and in one go with its place in the line: what began meanwhile would be waited for.
    callOff(this.folder);
    return this.#locked({ operation, signal, timeoutMs: lockMs }, act);
  }

  /** As `alone`, where it is free now, until somebody else of this process wants it: that aborts the signal. */
  async whileUnwanted<T>(
    work: IdleWork & { operation: string; signal: AbortSignal },
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { operation } = work;
    return workIdly(this.folder, work, (signal) =>
      this.#locked({ operation, signal, timeoutMs: idleLockMs }, () => act(signal)),
    );
  }

  async #locked<T>(
    lock: { operation: string; signal: AbortSignal; timeoutMs: number },
    act: () => Promise<T>,
  ): Promise<T> {
    const uuid = this.key.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const stateDir = join(this.#stateDir, 'imports');
    return withVmLock({ stateDir, uuid, host: this.#host, ...lock }, act);
  }

  /** Undefined if there is none. Throws `cache-record-damaged`. */
  async read(): Promise<CacheRecord | undefined> {
    const path = join(this.folder, recordFile);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const record = recordSchema.safeParse(parsed(text));
    if (record.success) return record.data;
    throw needsOperator({
      code: 'cache-record-damaged',
      message: `${path}, which tells what the cache has of ${this.#what}, is damaged`,
      remedy: `Remove ${this.folder}, then \`vmferry retry\`: the VM is copied anew.`,
      host: this.#host,
    });
  }

  /** Resolves once it is on stable storage. */
  async write(record: CacheRecord): Promise<void> {
    const path = join(this.folder, recordFile);
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const version = record.disks.some(({ packed }) => packed === true) ? 2 : 1;
    const data = Buffer.from(JSON.stringify({ ...record, version }));
    await replaceDurably({ path, temporary: `${path}.new` }, data, realIo);
  }

  /** What the images take up of the file system, packed or not, and what a conversion made beside them. */
  async takenBytes(): Promise<number> {
    const disks = (await this.read().catch(() => undefined))?.disks ?? [];
    const beside = await readdir(this.conversionFolder).catch(() => []);
    const paths = [
      ...disks.flatMap((disk) => [this.pathOf(disk), this.packedPathOf(disk)]),
      ...beside.map((name) => join(this.conversionFolder, name)),
    ];
    const taken = await Promise.all(paths.map(blocksOf));
    return taken.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** What its packed disks take up, each until all of it is unpacked beside it. */
  async packedBytes(): Promise<number> {
    const disks = (await this.read().catch(() => undefined))?.disks ?? [];
    const packed = disks.filter((disk) => disk.packed === true);
    const taken = await Promise.all(packed.map((disk) => blocksOf(this.packedPathOf(disk))));
    return taken.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Nothing more is written for the import of `migrationId`: room that it was promised is free for others. */
  async writesNoMore(migrationId: string): Promise<void> {
    const record = await this.read();
    if (record?.usedBy.migrationId !== migrationId || record.promise === undefined) return;
    const { promise: _promise, ...rest } = record;
    await this.write(rest);
  }

  /** What was made of the copies is worthless once these change. */
  async dropConversion(): Promise<void> {
    await rm(this.conversionFolder, { recursive: true, force: true });
  }

  async dropDisk(disk: Pick<CachedDiskRecord, 'file'>): Promise<void> {
    const path = this.pathOf(disk);
    // The journal first: without it nothing takes the image for whole.
    await rm(journalPathFor(path), { force: true });
    await rm(path, { force: true });
    await rm(this.packedPathOf(disk), { force: true });
    await rm(readHashesPathFor(path), { force: true });
  }

  /** All images; what was done to the source is still known. */
  async dropDisks(record: CacheRecord): Promise<void> {
    await this.dropConversion();
    for (const disk of record.disks) await this.dropDisk(disk);
    record.disks = [];
    await this.write(record);
  }

  /** All of it, the record last: what is half gone is still known. */
  async drop(): Promise<void> {
    await this.dropConversion();
    const names = await readdir(this.folder).catch(() => []);
    const images = names.filter((name) => name !== recordFile);
    for (const name of images) await rm(join(this.folder, name), { recursive: true, force: true });
    await rm(this.folder, { recursive: true, force: true });
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const keyOf = (provider: string, vm: string): string =>
  sha256(JSON.stringify([provider, vm])).slice(0, 32);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Every cached VM of a folder, for upkeep; none where the folder is not there. */
export async function cachedKeys(cacheDir: string): Promise<string[]> {
  const names = await readdir(cacheDir).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => keyPattern.test(name));
}

/** A record for an import that begins to use the cache; what an earlier one left stays. */
export function takenBy(
  ref: ImportRef,
  found: CacheRecord | undefined,
  server: CacheRecord['usedBy']['server'],
): CacheRecord {
  const { moveId, migrationId, provider, foreign, keepSeconds, compress } = ref;
  if (found?.usedBy.migrationId === migrationId) {
    const { until: _until, ...inUse } = found;
    return inUse;
  }
  return {
    version: 1,
    provider,
    vm: foreign,
    disks: (found?.disks ?? []).map(foundBefore),
    usedBy: { moveId, migrationId, server },
    // Of another import, which had another label.
    reading: false,
    // Its guest may be on its way down still: whoever looks next shall know that it ran.
    ...(found?.source === undefined || !owesSource(found) ? {} : { source: found.source }),
    keepSeconds,
    ...(compress === undefined ? {} : { compress }),
  };
}

/** A disk that another import left. What is not whole becomes another one: whether it can be packed shows anew. */
function foundBefore({ found: _found, staysRaw, ...disk }: CachedDiskRecord): CachedDiskRecord {
  return { ...disk, ...(disk.whole && staysRaw === true ? { staysRaw } : {}) };
}
