/** What becomes of the cache once an import is over. */
import { endLabelled } from '../../convert/labelled-process.ts';
import { permanent } from '../../domain/errors.ts';
import type { MoveFate } from '../../domain/orphans.ts';
import { cacheOf } from './cache-of.ts';
import { cachedKeys, ImportCache } from './cache.ts';
import type { CacheRecord } from './cache-record.ts';
import { settleSource } from './give-back.ts';
import type { ImportRef, KeepCacheInput, KeepCacheResult } from './contract.ts';
import { owesSource } from './cache-record.ts';
import type { ImportParts } from './parts.ts';
import { endRehearsal } from './rehearse-stage.ts';

/** Safe to run twice, and where there is nothing. What another import uses by now stays as it is. */
export async function keepCache(
  parts: ImportParts,
  input: KeepCacheInput,
  signal: AbortSignal,
): Promise<KeepCacheResult> {
  const { migrationId, seconds } = input;
  const cache = cacheOf(parts, input);
  await parts.host.operations.endAll(migrationId);
  return cache.alone('let go of the cache', signal, async () => {
    const record = await cache.read();
    if (record?.usedBy.migrationId !== migrationId) return {};
    await endLabelled(cache.label);
    await endRehearsal(parts, cache);
    const isEmpty = record.disks.length === 0;
    if (seconds === 0 || (isEmpty && !owesSource(record))) {
      await cache.drop();
      return {};
    }
    const { until } = await keepFor(cache, record, seconds);
    return isEmpty ? {} : { until };
  });
}

async function keepFor(
  cache: ImportCache,
  record: CacheRecord,
  seconds: number,
): Promise<CacheRecord & { until: string }> {
  const until = record.until ?? new Date(Date.now() + seconds * 1000).toISOString();
  const { promise: _promise, ...rest } = record;
  const kept = { ...rest, until };
  await cache.write(kept);
  return kept;
}

/** Throws `cache-in-use`. */
export async function dropCache(
  parts: ImportParts,
  { provider, foreign }: Pick<ImportRef, 'provider' | 'foreign'>,
  signal: AbortSignal,
): Promise<void> {
  const { conversion, host } = parts;
  const cache = new ImportCache(
    { cacheDir: conversion.cacheDir, stateDir: host.stateDir, host: host.name },
    { provider, vm: foreign.id },
  );
  await cache.alone('drop the cache', signal, async () => {
    const record = await cache.read();
    if (record !== undefined && record.until === undefined) {
      throw permanent({
        code: 'cache-in-use',
        message: `the cache of ${foreign.name} on ${host.name} is in use by ${record.usedBy.moveId}`,
        remedy: 'Cancel that import first; once it is over its cache can be dropped.',
        host: host.name,
      });
    }
    await endLabelled(cache.label);
    await endRehearsal(parts, cache);
    await cache.drop();
  });
}

export interface CacheUpkeep {
  fateOf: (move: CacheRecord['usedBy']) => Promise<MoveFate>;
  log: (level: 'info' | 'warn', facts: object, message: string) => void;
  signal: AbortSignal;
}

type Upkept = Pick<ImportParts, 'host' | 'conversion' | 'rehearsals' | 'providers'>;

/**
 * One look at all caches: what is past its time goes; an import that ended without a last word gives its source back,
 * and its cache gets a time. What Temporal does not surely know is let alone.
 */
export async function expireCaches(parts: Upkept, upkeep: CacheUpkeep): Promise<void> {
  const { conversion, host } = parts;
  const place = { cacheDir: conversion.cacheDir, stateDir: host.stateDir, host: host.name };
  for (const key of await cachedKeys(conversion.cacheDir)) {
    upkeep.signal.throwIfAborted();
    const cache = new ImportCache(place, { key });
    try {
      await lookAfter(parts, cache, upkeep);
    } catch (error) {
      upkeep.log('warn', { folder: cache.folder, error }, 'could not look after a cached VM');
    }
  }
}

const isPast = ({ until }: CacheRecord): boolean =>
  until !== undefined && Date.parse(until) <= Date.now();

async function lookAfter(parts: Upkept, cache: ImportCache, upkeep: CacheUpkeep): Promise<void> {
  const { fateOf, signal } = upkeep;
  const seen = await cache.read();
  if (seen === undefined) return;
  const { usedBy, until } = seen;
  const isClosed = async (): Promise<boolean> => (await fateOf(usedBy)).state === 'closed';
  if (until === undefined ? !(await isClosed()) : !isPast(seen) && !owesSource(seen)) return;
  await parts.host.operations.endAll(usedBy.migrationId);
  await cache.alone('look after the cache', signal, async () => {
    const record = await cache.read();
    // Another import may have taken it meanwhile.
    if (record?.usedBy.migrationId !== usedBy.migrationId || record.until !== until) return;
    // A reset may have brought the import back.
    if ((until === undefined || owesSource(record)) && !(await isClosed())) return;
    await endLabelled(cache.label);
    await endRehearsal(parts, cache);
    await settle(parts, cache, record, upkeep);
  });
}

async function settle(
  parts: Upkept,
  cache: ImportCache,
  record: CacheRecord,
  { log, signal }: CacheUpkeep,
): Promise<void> {
  const { vm, provider, until } = record;
  const kept = await keepFor(cache, record, record.keepSeconds);
  if (until === undefined)
    log('info', { vm, provider, until: kept.until }, 'the import of a cached VM is over');
  if (owesSource(kept)) {
    try {
      const { running } = await settleSource(parts, { cache, record: kept, signal });
      log('info', { vm, provider, running }, 'gave a source back whose import had not');
    } catch (error) {
      log('warn', { vm, provider, error }, 'could not give a source back whose import had not');
    }
  }
  if (!isPast(kept)) return;
  await cache.drop();
  log('info', { vm, provider }, 'dropped a cached VM whose time was up');
}
