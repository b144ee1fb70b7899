import { conversionMinimum, memoryShareShown } from '../../../../import/limits.ts';
import { mib } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { HostView } from '../../views.ts';

const least = `${conversionMinimum.cpus} CPUs, ${conversionMinimum.memoryBytes / 1024 ** 3} GiB of memory and ${conversionMinimum.cacheBytes / 1024 ** 3} GiB free in its cache`;

export const conversionHostSmall: ForeignRule<HostView, 'conversion-host-small'> = {
  modes: everyMode,
  outcomes: {
    'conversion-host-small': {
      level: 'warning',
      meaning: `The conversion host has less than ${least}: several conversions at a time will be slow or fail.`,
      remedy: 'Convert one at a time there (host.conversion.parallel), or choose a bigger host.',
    },
  },
  judge: ({ conversionHost: { name, cpus, memoryBytes, cache } }) => {
    const short = [
      ...(cpus < conversionMinimum.cpus ? [`${cpus} CPUs`] : []),
      ...(memoryBytes < conversionMinimum.memoryBytes * memoryShareShown
        ? [`${mib(memoryBytes)} of memory`]
        : []),
      ...(cache.availableBytes < conversionMinimum.cacheBytes
        ? [`${mib(cache.availableBytes)} free in ${cache.path}`]
        : []),
    ];
    return short.length === 0
      ? []
      : [
          {
            code: 'conversion-host-small',
            message: `conversion host ${name} has ${short.join(', ')}; it should have ${least}`,
          },
        ];
  },
};
