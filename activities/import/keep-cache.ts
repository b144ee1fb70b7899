/** What becomes of the cache once an import is over. */
import { endLabelled } from '../../convert/labelled-process.ts';
import { permanent } from '../../domain/errors.ts';
import type { MoveFate } from '../../domain/orphans.ts';
import { cacheOf } from './cache-of.ts';
import { cachedKeys, ImportCache } from './cache.ts';
import type { CacheRecord } from './cache.ts';
import type { ImportRef, KeepCacheInput, KeepCacheResult } from './contract.ts';
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
    await endLabelled(cache.key);
    await endRehearsal(parts, cache);
    if (seconds === 0 || record.disks.length === 0) {
      await cache.drop();
      return {};
    }
    return { until: await keepFor(cache, record, seconds) };
  });
}

async function keepFor(cache: ImportCache, record: CacheRecord, seconds: number): Promise<string> {
  const until = record.until ?? new Date(Date.now() + seconds * 1000).toISOString();
  const { promise: _promise, ...rest } = record;
  await cache.write({ ...rest, until });
  return until;
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
    await endLabelled(cache.key);
    await endRehearsal(parts, cache);
    await cache.drop();
  });
}

export interface CacheUpkeep {
  fateOf: (move: CacheRecord['usedBy']) => Promise<MoveFate>;
  log: (level: 'info' | 'warn', facts: object, message: string) => void;
  signal: AbortSignal;
}

/**
 * One look at all caches: what is past its time goes; what belongs to an import that ended without a last word gets a
 * time. What Temporal does not surely know is let alone.
 */
export async function expireCaches(
  parts: Pick<ImportParts, 'host' | 'conversion' | 'rehearsals'>,
  { fateOf, log, signal }: CacheUpkeep,
): Promise<void> {
  const { conversion, host } = parts;
  const place = { cacheDir: conversion.cacheDir, stateDir: host.stateDir, host: host.name };
  for (const key of await cachedKeys(conversion.cacheDir)) {
    signal.throwIfAborted();
    const cache = new ImportCache(place, { key });
    try {
      await expireOne(parts, cache, { fateOf, log, signal });
    } catch (error) {
      log('warn', { folder: cache.folder, error }, 'could not look after a cached VM');
    }
  }
}

async function expireOne(
  parts: Pick<ImportParts, 'rehearsals'>,
  cache: ImportCache,
  { fateOf, log, signal }: CacheUpkeep,
): Promise<void> {
  const seen = await cache.read();
  if (seen === undefined) return;
  if (seen.until === undefined && (await fateOf(seen.usedBy)).state !== 'closed') return;
  if (seen.until !== undefined && Date.parse(seen.until) > Date.now()) return;
  await cache.alone('look after the cache', signal, async () => {
    const record = await cache.read();
    // Another import may have taken it meanwhile.
    if (record?.usedBy.migrationId !== seen.usedBy.migrationId) return;
    if (record.until !== seen.until) return;
    await endLabelled(cache.key);
    await endRehearsal(parts, cache);
    const { vm, provider } = record;
    if (record.until === undefined) {
      const until = await keepFor(cache, record, record.keepSeconds);
      log('info', { vm, provider, until }, 'the import of a cached VM is over');
    } else {
      await cache.drop();
      log('info', { vm, provider }, 'dropped a cached VM whose time was up');
    }
  });
}
