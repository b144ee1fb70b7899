/** Room in the cache of this conversion host: who was promised how much of it, so that nothing is promised twice. */
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { permanent, transient } from '../../domain/errors.ts';
import type { ConversionHostFacts } from '../../domain/import.ts';
import { capacityOf, promisedBytes } from '../../domain/import/capacity.ts';
import type { CacheTask } from '../../domain/import/capacity.ts';
import { sizeText } from '../../domain/placement/size-text.ts';
import { withFileLock } from '../../platforms/file-lock.ts';
import { cacheOf } from './cache-of.ts';
import { cachedKeys, ImportCache, takenBy } from './cache.ts';
import type { CacheRecord } from './cache-record.ts';
import type { ReserveCacheInput } from './contract.ts';
import type { ImportParts } from './parts.ts';

type Place = Pick<ImportParts, 'host' | 'conversion'>;

/** Who looks for room and takes it writes a record, and waits for a disk at most. */
const lockMs = 30_000;

/** The cache's file system, and the imports that use it. */
async function look(
  parts: Place,
): Promise<{ cache: ConversionHostFacts['cache']; tasks: CacheTask[] }> {
  const { cacheDir } = parts.conversion;
  const tasks = await cacheTasks(parts);
  const { blocks, bavail, bsize } = await statfs(cacheDir);
  const cache = {
    path: cacheDir,
    capacityBytes: blocks * bsize,
    availableBytes: bavail * bsize,
  };
  return { cache, tasks };
}

/** The cache's file system, the imports that use it, and what these have still to write there. */
export async function cacheUse(
  parts: Place,
): Promise<Pick<ConversionHostFacts, 'cache' | 'running' | 'promisedBytes'>> {
  const { cache, tasks } = await look(parts);
  return { cache, running: tasks.length, promisedBytes: promisedBytes(tasks) };
}

/** What all cached VMs take up, those of imports that are over included. */
export async function cachedBytes(parts: Place): Promise<number> {
  const taken = await Promise.all((await cachesOf(parts)).map((cache) => cache.takenBytes()));
  return taken.reduce((sum, bytes) => sum + bytes, 0);
}

async function cachesOf({ host, conversion: { cacheDir } }: Place): Promise<ImportCache[]> {
  const place = { cacheDir, stateDir: host.stateDir, host: host.name };
  return (await cachedKeys(cacheDir)).map((key) => new ImportCache(place, { key }));
}

async function cacheTasks(parts: Place): Promise<CacheTask[]> {
  const tasks: CacheTask[] = [];
  for (const cache of await cachesOf(parts)) {
    // A damaged one is named when somebody needs it.
    const record = await cache.read().catch(() => undefined);
    if (record === undefined || record.until !== undefined) continue;
    tasks.push(await taskOf(cache, record));
  }
  return tasks;
}

async function taskOf(cache: ImportCache, { promise }: CacheRecord): Promise<CacheTask> {
  const neededBytes = promise?.neededBytes ?? 0;
  const writtenBytes = neededBytes === 0 ? 0 : await cache.takenBytes();
  return { id: cache.key, neededBytes, writtenBytes };
}

/**
 * Promises the import the room that it needs, and counts it among those that run. Done once an import: whoever has its
 * promise keeps it. Throws `cache-full`, `cache-busy`, `conversion-host-disabled`.
 */
export async function reserveCache(
  parts: ImportParts,
  input: ReserveCacheInput,
  signal: AbortSignal,
): Promise<void> {
  const { migrationId, foreign, neededBytes, besideBytes } = input;
  const { stateDir, name: host } = parts.host;
  const cache = cacheOf(parts, input);
  await cache.alone('reserve room in the cache', signal, async () => {
    const found = await cache.read();
    if (found?.usedBy.migrationId === migrationId) return;
    if (!(await parts.terms.inForce()).takesImports) throw takesNone(host);
    const path = join(stateDir, 'imports', 'locks', 'room');
    const lock = { path, waitMs: lockMs, signal, busy: () => roomBusy(path, host) };
    // One at a time.
    await withFileLock(lock, async () => {
      const { cacheDir } = parts.conversion;
      const record = takenBy(input, found, parts.server());
      record.promise = { neededBytes, besideBytes };
      // Written first: a file system that has no room even for the record says so here.
      await cache.write(record);
      const { cache: disk, tasks } = await look(parts);
      const { shortBytes } = capacityOf(disk, tasks);
      if (shortBytes === 0) return;
      await (found === undefined ? cache.drop() : cache.write(found));
      throw permanent({
        code: 'cache-full',
        message: `the cache of ${host} (${cacheDir}) has no room for ${foreign.name}: ${sizeText(neededBytes, 'up')} are needed, ${sizeText(shortBytes, 'up')} are lacking beside what running imports have still to write there`,
        remedy:
          'Free room there (`vmferry discard` drops what ended imports left), wait for the others, then `vmferry retry`; or choose another host: --on.',
        host,
      });
    });
  });
}

const roomBusy = (path: string, host: string) =>
  transient({
    code: 'cache-busy',
    message: `other imports have been looking for room in the cache of ${host} for long (${path})`,
    remedy: 'It is tried again; see whether the disk of its cache answers.',
    host,
  });

const takesNone = (host: string) =>
  permanent({
    code: 'conversion-host-disabled',
    message: `${host} takes no imports any more: it was disabled or deleted as a conversion host`,
    remedy: `Choose another one with --on, or \`vmferry conversion-hosts enable ${host}\`.`,
    host,
  });
