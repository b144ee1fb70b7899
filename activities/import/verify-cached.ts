import { transient } from '../../domain/errors.ts';
import { differsFromRead, readHashesPathFor } from '../../transfer/read-hashes.ts';
import type { Attempt } from '../boundary.ts';
import { cacheOf } from './cache-of.ts';
import { wholeImage } from './cache-record.ts';
import type { CachedDiskRecord, CacheRecord } from './cache-record.ts';
import type { ImportCache } from './cache.ts';
import { notThere } from './cached-disk.ts';
import type { CacheInput } from './contract.ts';
import type { ImportParts } from './parts.ts';

/**
 * Reads the cache back past the page cache and compares it with the hashes of what was read of the source. A copy that
 * differs is dropped. Throws `copy-differs`.
 */
export async function verifyCached(
  parts: ImportParts,
  input: CacheInput,
  { signal }: Pick<Attempt, 'signal'>,
): Promise<void> {
  const { migrationId, disks } = input;
  const cache = cacheOf(parts, input);
  const { operations } = parts.host;
  await operations.exclusive({ migrationId, name: 'compare the cache', signal }, (inner) =>
    parts.turns.take(inner, () =>
      cache.alone('compare the copy', inner, async () => {
        const record = await cache.read();
        for (const key of disks) {
          const own = wholeImage(record, key);
          if (record === undefined || own === undefined) throw notThere({ ...input, key });
          if (own.compared !== true) await compareOne(parts, { cache, record, own, signal: inner });
        }
      }),
    ),
  );
}

interface Compared {
  cache: ImportCache;
  record: CacheRecord;
  own: CachedDiskRecord;
  signal: AbortSignal;
}

async function compareOne(
  { host }: ImportParts,
  { cache, record, own, signal }: Compared,
): Promise<void> {
  const path = cache.pathOf(own);
  const copy = await host.dataPlane.openLocal({ path, format: 'raw', signal });
  try {
    const differing = await differsFromRead(readHashesPathFor(path), copy, signal);
    if (differing === undefined) {
      own.compared = true;
      await cache.write(record);
      return;
    }
    await cache.dropConversion();
    await cache.dropDisk(own);
    record.disks = record.disks.filter((disk) => disk !== own);
    await cache.write(record);
    throw transient({
      code: 'copy-differs',
      message: `disk ${own.key} of ${record.vm.name}: at ${differing.offset} the cache of ${host.name} does not have what was read of the source`,
      remedy: `It is copied anew. If that comes again, check memory and storage of ${host.name}.`,
      host: host.name,
    });
  } finally {
    await copy.close();
  }
}
