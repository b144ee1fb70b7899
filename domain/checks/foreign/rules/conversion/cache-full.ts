import { cacheNeed, roomOf, unpromisedBytes } from '../../../../import/capacity.ts';
import { mib } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

type Code = 'cache-full' | 'cache-taken' | 'cache-tight';

export const cacheFull: ForeignRule<ConversionView, Code> = {
  modes: everyMode,
  outcomes: {
    'cache-full': {
      level: 'critical',
      meaning:
        'The cache of the conversion host has no room for what the disks hold, and would not have it without what running imports have still to write there.',
      remedy: 'Free room there, or choose another host: --on.',
    },
    'cache-taken': {
      level: 'warning',
      meaning:
        'The cache of the conversion host has room for what the disks hold only once others are committed: the import waits for them, its source untouched.',
      remedy: 'Nothing to do if these are committed; else choose another host: --on.',
    },
    'cache-tight': {
      level: 'warning',
      meaning:
        'The cache of the conversion host has room for what the disks hold as far as the source tells, but not for full disks.',
      remedy: 'Watch it, or choose another host: --on.',
    },
  },
  judge: ({ vm, request, conversionHost, cachedBytes = 0 }) => {
    const need = cacheNeed(vm, request);
    const [neededBytes, mostBytes] = [need.neededBytes - cachedBytes, need.mostBytes - cachedBytes];
    const { availableBytes, promisedBytes } = roomOf(conversionHost);
    const { name, cache } = conversionHost;
    const promised = promisedBytes > 0 ? ` beside ${mib(promisedBytes)} for running imports` : '';
    const has = `the cache of ${name} (${cache.path}) has ${mib(availableBytes)} free${promised}`;
    if (neededBytes > availableBytes) {
      const code = neededBytes > unpromisedBytes(conversionHost) ? 'cache-full' : 'cache-taken';
      return [{ code, message: `${has}; ${vm.name} needs ${mib(neededBytes)}` }];
    }
    return mostBytes > availableBytes
      ? [{ code: 'cache-tight', message: `${has}; ${vm.name} may need ${mib(mostBytes)}` }]
      : [];
  },
};
