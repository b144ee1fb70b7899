import { cacheNeed, roomOf } from '../../../../import/capacity.ts';
import { placedDisks, takenBytes } from '../../../../import/disks.ts';
import type { PoolFacts } from '../../../../host.ts';
import { mib } from '../../../words.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

/**
 * On one host the cache and a pool may lie on one file system, and each would find room for itself alone. That they do
 * is told by their size, to the byte; two file systems of one size are possible, so this only warns.
 */
export const roomShared: ForeignRule<ConversionView, 'room-shared'> = {
  modes: everyMode,
  outcomes: {
    'room-shared': {
      level: 'warning',
      meaning:
        'Conversion host and target are one host, whose cache and pool look like one file system: until the commit it holds the disks twice, and has no room for that.',
      remedy:
        'Free room there, put the cache on another file system (host.conversion.cacheDir), or choose another conversion host: --on.',
    },
  },
  judge: ({ vm, request, conversionHost, target, cachedBytes = 0 }) => {
    if (conversionHost.name !== target.name) return [];
    const { cache } = conversionHost;
    const needs = new Map<PoolFacts, number>();
    for (const { disk, pool, kind } of placedDisks(vm, request, target)) {
      if (kind === 'file' && pool.capacityBytes === cache.capacityBytes)
        needs.set(pool, (needs.get(pool) ?? 0) + takenBytes(disk, kind));
    }
    const inCache = Math.max(0, cacheNeed(vm, request).neededBytes - cachedBytes);
    const { availableBytes } = roomOf(conversionHost);
    return [...needs].flatMap(([pool, taken]): Finding<'room-shared'>[] =>
      inCache + taken <= availableBytes
        ? []
        : [
            {
              code: 'room-shared',
              message: `the cache of ${target.name} (${cache.path}) and its pool ${pool.name} look like one file system with ${mib(availableBytes)} free; ${vm.name} needs ${mib(inCache)} and ${mib(taken)} there`,
            },
          ],
    );
  },
};
