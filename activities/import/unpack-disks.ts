/** What an import before this one left compressed, back as the images that it was made of. */
import { rm } from 'node:fs/promises';
import { endLabelled } from '../../convert/labelled-process.ts';
import { unpackImage } from '../../convert/packed-image.ts';
import type { CacheRecord } from './cache-record.ts';
import type { ImportCache } from './cache.ts';
import { blocksOf } from './file-blocks.ts';

export interface UnpackDisks {
  cache: ImportCache;
  record: CacheRecord;
  /** Of disks that are wanted; others stay as they are. */
  keys: readonly string[];
  signal: AbortSignal;
  /** Told of the disk at work, from 0 to 100. */
  onPercent?: (key: string, percent: number) => void;
  /** So that a test can end the process between any two steps. */
  onStep?: (step: 'unpacked' | 'recorded') => void;
}

/**
 * Under the cache's lock; their journals and hashes go on with the images. A packed disk that is damaged is dropped,
 * and why is given back by its key. Safe to run again after a kill: what the record does not name is a leftover.
 */
export async function unpackDisks(work: UnpackDisks): Promise<ReadonlyMap<string, string>> {
  const { cache, record, keys, signal, onPercent, onStep } = work;
  const lost = new Map<string, string>();
  const wanted = record.disks.filter(({ key }) => keys.includes(key));
  if (wanted.some(({ packed }) => packed === true)) await endLabelled(cache.label);
  for (const own of wanted) {
    const packed = cache.packedPathOf(own);
    if (own.packed === true) {
      const packedBytes = await blocksOf(packed);
      const { damage } = await unpackImage(
        { image: cache.pathOf(own), packed, sizeBytes: own.capacityBytes },
        { id: cache.label, signal, onPercent: (percent) => onPercent?.(own.key, percent) },
      );
      onStep?.('unpacked');
      if (damage === undefined) delete own.packed;
      else {
        await cache.dropDisk(own);
        record.disks = record.disks.filter((disk) => disk !== own);
        lost.set(own.key, `what was kept of it, compressed, is damaged (${damage})`);
      }
      if (record.promise !== undefined)
        record.promise.neededBytes = Math.max(0, record.promise.neededBytes - packedBytes);
      await cache.write(record);
      onStep?.('recorded');
    }
    await rm(packed, { force: true });
  }
  return lost;
}
