import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { HostView } from '../../views.ts';

export const conversionHostMixed: ForeignRule<HostView, 'conversion-host-mixed'> = {
  modes: everyMode,
  outcomes: {
    'conversion-host-mixed': {
      level: 'warning',
      meaning:
        'The conversion host has providers of several kinds: imports from all of them share its processors, its cache and its caps.',
      remedy:
        'Give each kind of platform a conversion host of its own where they get in each other’s way.',
    },
  },
  judge: ({ conversionHost: { name, providers } }) => {
    const kinds = [...new Set(providers.map(({ kind }) => kind))].sort();
    return kinds.length <= 1
      ? []
      : [
          {
            code: 'conversion-host-mixed',
            message: `conversion host ${name} has providers of ${kinds.length} kinds: ${kinds.join(', ')}`,
          },
        ];
  },
};
