/** Room in the cache of this conversion host: who was promised how much of it, so that nothing is promised twice. */
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Handling, permanent, transient } from '../../domain/errors.ts';
import type { FaultOptions, VmFerryError } from '../../domain/errors.ts';
import type { ConversionHostFacts } from '../../domain/import.ts';
import { capacityOf, promisedBytes } from '../../domain/import/capacity.ts';
import type { CacheTask } from '../../domain/import/capacity.ts';
import { sizeText } from '../../domain/placement/size-text.ts';
import { withFileLock } from '../../platforms/file-lock.ts';
import { cacheOf } from './cache-of.ts';
import { cachedKeys, ImportCache, takenBy } from './cache.ts';
import type { CacheRecord } from './cache-record.ts';
import type { ReserveCacheAnswer, ReserveCacheInput } from './contract.ts';
import { callOffAll, idleBytes } from './idle-work.ts';
import type { ImportParts } from './parts.ts';

type Place = Pick<ImportParts, 'host' | 'conversion'>;

/** Who looks for room and takes it writes a record, and waits for a disk at most. */
const lockMs = 30_000;
/** Between two times that a busy cache is asked, ms: many may wait for one host. */
const askAgainMs = 10_000;

interface Task extends CacheTask {
  /** It has still to be copied or converted. */
  writes: boolean;
}

/** The cache's file system, and the imports that use it. */
async function look(parts: Place): Promise<{ cache: ConversionHostFacts['cache']; tasks: Task[] }> {
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
  const running = tasks.filter(({ writes }) => writes).length;
  return { cache, running, promisedBytes: promisedBytes(tasks) };
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

async function cacheTasks(parts: Place): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const cache of await cachesOf(parts)) {
    // A damaged one is named when somebody needs it.
    const record = await cache.read().catch(() => undefined);
    if (record === undefined || record.until !== undefined) continue;
    tasks.push(await taskOf(cache, record));
  }
  return tasks;
}

async function taskOf(cache: ImportCache, { promise }: CacheRecord): Promise<Task> {
  const neededBytes = promise?.neededBytes ?? 0;
  const writtenBytes = await cache.takenBytes();
  return { id: cache.key, neededBytes, writtenBytes, writes: promise !== undefined };
}

/** As `promiseRoom`, asked again while others have to end first, as long as the caller waits. */
export async function reserveCache(
  parts: ImportParts,
  input: ReserveCacheInput,
  { signal, pauseMs = askAgainMs }: { signal: AbortSignal; pauseMs?: number },
): Promise<ReserveCacheAnswer> {
  const endMs = Date.now() + (input.waitMs ?? 0);
  for (;;) {
    const answer = await promiseRoom(parts, input, signal);
    if (answer.granted || Date.now() + pauseMs > endMs) return answer;
    await delay(pauseMs, undefined, { signal });
  }
}

/**
 * Promises the import the room that it needs, and counts it among those that are worked on. Done once an import:
 * whoever has its promise keeps it. Throws `cache-full`, `cache-busy`, `conversion-host-disabled`.
 */
async function promiseRoom(
  parts: ImportParts,
  input: ReserveCacheInput,
  signal: AbortSignal,
): Promise<ReserveCacheAnswer> {
  const { migrationId, besideBytes } = input;
  const { stateDir, name: host } = parts.host;
  const cache = cacheOf(parts, input);
  return cache.alone('reserve room in the cache', signal, async () => {
    const found = await cache.read();
    if (found?.usedBy.migrationId === migrationId) return { granted: true };
    const { takesImports, parallel } = await parts.terms.inForce();
    if (!takesImports) throw takesNone(host);
    const path = join(stateDir, 'imports', 'locks', 'room');
    const lock = { path, waitMs: lockMs, signal, busy: () => roomBusy(path, host) };
    // One at a time.
    return withFileLock(lock, async () => {
      // Somebody may have removed all of it since the host told what it has.
      await mkdir(parts.conversion.cacheDir, { recursive: true, mode: 0o700 });
      const writtenBytes = await cache.takenBytes();
      // What is packed stays until it is unpacked beside it.
      const neededBytes = input.neededBytes + (await cache.packedBytes());
      const own = { id: cache.key, neededBytes, writtenBytes };
      const ask = { host, input: { ...input, neededBytes }, own, parallel };
      const refusal = refusalOf(await lookFor(parts, own), ask);
      if (refusal === undefined) {
        const record = takenBy(input, found, parts.server());
        await cache.write({ ...record, promise: { neededBytes, besideBytes } });
        return { granted: true };
      }
      if (refusal.handling !== Handling.transient) throw refusal;
      return { granted: false, fault: refusal.toFault() };
    });
  });
}

/** What is compressed just now takes room for a while: it makes way where an import wants that. */
async function lookFor(parts: Place, own: CacheTask): ReturnType<typeof look> {
  const { cacheDir } = parts.conversion;
  const seen = await look(parts);
  const { availableBytes } = capacityOf(seen.cache, [...othersThan(own, seen.tasks), own]);
  if (idleBytes(cacheDir) <= availableBytes) return seen;
  await callOffAll(cacheDir);
  return look(parts);
}

const othersThan = (own: CacheTask, tasks: readonly Task[]): Task[] =>
  tasks.filter((task) => task.id !== own.id);

/** Why it has to wait, or can never be brought here; undefined if neither. */
function refusalOf(
  { cache, tasks }: Awaited<ReturnType<typeof look>>,
  ask: { host: string; input: ReserveCacheInput; own: CacheTask; parallel: number },
): VmFerryError | undefined {
  const { host, input, own, parallel } = ask;
  const others = othersThan(own, tasks);
  if (others.filter(({ writes }) => writes).length >= parallel)
    return hostFull(input, { host, parallel });
  const { shortBytes } = capacityOf(cache, [...others, own]);
  if (shortBytes === 0) return undefined;
  const full = cacheFull(input, { host, path: cache.path, shortBytes });
  // A commit empties the cache of its import.
  const freedBytes = others.reduce(
    (sum, { neededBytes, writtenBytes }) => sum + Math.max(neededBytes, writtenBytes),
    0,
  );
  return shortBytes > freedBytes ? permanent(full) : transient(full);
}

const hostFull = (
  { foreign }: ReserveCacheInput,
  { host, parallel }: { host: string; parallel: number },
): VmFerryError =>
  transient({
    code: 'conversion-host-full',
    message: `${foreign.name} waits for a place on ${host}, which works on as many imports as it may (${parallel})`,
    remedy: `It begins once one of them is copied and converted; \`vmferry conversion-hosts set ${host} --parallel\` lets more in.`,
    host,
  });

const cacheFull = (
  { foreign, neededBytes }: ReserveCacheInput,
  { host, path, shortBytes }: { host: string; path: string; shortBytes: number },
): FaultOptions => ({
  code: 'cache-full',
  message: `the cache of ${host} (${path}) has no room for ${foreign.name}: ${sizeText(neededBytes, 'up')} are needed, ${sizeText(shortBytes, 'up')} are lacking beside what running imports have still to write there`,
  remedy:
    'Free room there (`vmferry discard` drops what ended imports left), commit what others brought, or choose another host: --on.',
  host,
});

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
