/**
 * Compresses what ended imports left, where they asked for it. Which of its two files is a disk's copy is what the
 * record says, so that a crash at any point leaves a whole one:
 *
 *   disk-N.raw  --qemu-img-->  disk-N.packed, synced  -->  record: packed  -->  disk-N.raw removed
 */
import { access, rm } from 'node:fs/promises';
import { endLabelled } from '../../convert/labelled-process.ts';
import { packImage } from '../../convert/packed-image.ts';
import { VmFerryError } from '../../domain/errors.ts';
import { roomOf } from '../../domain/import/capacity.ts';
import { cachedKeys, ImportCache } from './cache.ts';
import { owesSource } from './cache-record.ts';
import type { CachedDiskRecord, CacheRecord } from './cache-record.ts';
import { cacheUse } from './cache-room.ts';
import { blocksOf } from './file-blocks.ts';
import type { CacheUpkeep } from './keep-cache.ts';
import type { ImportParts } from './parts.ts';

type Place = Pick<ImportParts, 'host' | 'conversion'>;

export interface PackUpkeep extends Pick<CacheUpkeep, 'log' | 'signal'> {
  /** So that a test can end the process between any two steps. */
  onStep?: (step: 'packed' | 'conversion-dropped' | 'recorded') => void;
}

/** Less than a tenth of its room is not worth what unpacking takes. */
const mostKept = 0.9;

/** Codes of what ends it in good order. */
const wanted: readonly string[] = ['cache-wanted', 'cancelled', 'vm-locked'];

/** One look at all caches, one disk after the other. What an import wants meanwhile is left raw until a later look. */
export async function packCaches(parts: Place, upkeep: PackUpkeep): Promise<void> {
  const { conversion, host } = parts;
  const { log, signal } = upkeep;
  const place = { cacheDir: conversion.cacheDir, stateDir: host.stateDir, host: host.name };
  for (const key of await cachedKeys(conversion.cacheDir)) {
    signal.throwIfAborted();
    const cache = new ImportCache(place, { key });
    try {
      await packCache(parts, cache, upkeep);
    } catch (error) {
      signal.throwIfAborted();
      const isWanted = error instanceof VmFerryError && wanted.includes(error.code);
      const [level, why] = isWanted ? (['info', 'did'] as const) : (['warn', 'could'] as const);
      log(level, { folder: cache.folder, error }, `${why} not compress a cached VM`);
    }
  }
}

/** Not while its source waits to be given back: that comes every few minutes, and calls this off. */
const mayPack = (record: CacheRecord): boolean =>
  record.compress === true &&
  record.until !== undefined &&
  Date.parse(record.until) > Date.now() &&
  !owesSource(record);

async function packCache(parts: Place, cache: ImportCache, upkeep: PackUpkeep): Promise<void> {
  // A damaged one is named by those who look after it.
  const seen = await cache.read().catch(() => undefined);
  if (seen === undefined || !mayPack(seen)) return;
  const { signal } = upkeep;
  for (const { file } of seen.disks) {
    const image = cache.pathOf({ file });
    const isThere = await access(image).then(
      () => true,
      () => false,
    );
    const own = seen.disks.find((disk) => disk.file === file);
    if (!isThere || own?.staysRaw === true) continue;
    const work = { operation: 'compress', mayWriteBytes: await blocksOf(image), signal };
    await cache.whileUnwanted(work, async (unwanted) => {
      const record = await cache.read();
      const disk = record?.disks.find((one) => one.file === file);
      if (record === undefined || disk === undefined || !mayPack(record)) return;
      // The worker that packed it was killed before it had removed the image.
      if (disk.packed === true) await rm(image, { force: true });
      else await packDisk(parts, { cache, record, disk, signal: unwanted }, upkeep);
    });
  }
}

interface PackDisk {
  cache: ImportCache;
  record: CacheRecord;
  disk: CachedDiskRecord;
  signal: AbortSignal;
}

async function packDisk(
  parts: Place,
  { cache, record, disk, signal }: PackDisk,
  { log, onStep }: PackUpkeep,
): Promise<void> {
  const [image, packed] = [cache.pathOf(disk), cache.packedPathOf(disk)];
  const facts = { vm: record.vm, provider: record.provider, disk: disk.key };
  const rawBytes = await blocksOf(image);
  // All of it has to fit beside, if it comes to the worst, and beside what imports have still to write.
  const { availableBytes } = roomOf(await cacheUse(parts));
  if (availableBytes < rawBytes) {
    log('info', { ...facts, rawBytes, availableBytes }, 'no room to compress a cached disk');
    return;
  }
  await endLabelled(cache.packLabel);
  const startMs = performance.now();
  const made = packImage(
    { image, packed, sizeBytes: disk.capacityBytes },
    { id: cache.packLabel, signal, background: true },
  );
  const trouble = await made.then(
    () => undefined,
    (error: unknown) => lastingTrouble(error),
  );
  onStep?.('packed');
  const packedBytes = await blocksOf(packed);
  if (trouble !== undefined || packedBytes > rawBytes * mostKept) {
    await rm(packed, { force: true });
    disk.staysRaw = true;
    await cache.write(record);
    if (trouble === undefined)
      log('info', { ...facts, rawBytes, packedBytes }, 'left a cached disk as it is: dense');
    else log('warn', { ...facts, error: trouble }, 'left a cached disk as it is');
    return;
  }
  // Its overlays lie on the image.
  await cache.dropConversion();
  onStep?.('conversion-dropped');
  disk.packed = true;
  // Of the image that it will be unpacked to nobody has seen anything.
  delete disk.compared;
  await cache.write(record);
  onStep?.('recorded');
  await rm(image, { force: true });
  const elapsedMs = Math.round(performance.now() - startMs);
  log('info', { ...facts, rawBytes, packedBytes, elapsedMs }, 'compressed a cached disk');
}

/** What would come again each time; all else is thrown. */
function lastingTrouble(error: unknown): VmFerryError {
  const codes = ['image-operation-failed', 'qemu-img-too-slow'];
  if (error instanceof VmFerryError && codes.includes(error.code)) return error;
  throw error;
}
