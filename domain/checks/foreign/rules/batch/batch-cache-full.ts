import { cacheNeed, roomOf } from '../../../../import/capacity.ts';
import type { Finding } from '../../../rule.ts';
import { mib } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';

/** A warning only: imports wait for each other, and a cache is emptied as each is committed. */
export const batchCacheFull: ForeignRule<BatchView, 'batch-cache-full'> = {
  modes: everyMode,
  outcomes: {
    'batch-cache-full': {
      level: 'warning',
      meaning:
        'The cache of a conversion host has no room for all VMs of the request at once, beside what runs.',
      remedy:
        'Commit each as soon as it is good, which empties its cache; or ask for fewer, or for several conversion hosts.',
    },
  },
  judge: ({ entries, conversionHosts }) =>
    conversionHosts.flatMap((host): Finding<'batch-cache-full'>[] => {
      const neededBytes = entries
        .filter(({ request }) => request.conversionHost === host.name)
        .reduce((sum, { vm, request }) => sum + cacheNeed(vm, request).neededBytes, 0);
      const { availableBytes } = roomOf(host);
      if (neededBytes <= availableBytes) return [];
      const message = `all VMs of the request need ${mib(neededBytes)} in the cache of ${host.name}, which has ${mib(availableBytes)} for them`;
      return [{ code: 'batch-cache-full', message, host: host.name }];
    }),
};
