import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

export const conversionHostBusy: ForeignRule<ConversionView, 'conversion-host-busy'> = {
  modes: everyMode,
  outcomes: {
    'conversion-host-busy': {
      level: 'information',
      meaning: 'As many imports run on the conversion host as it takes at a time: this one waits.',
      remedy: 'Nothing to do, or choose another one with --on.',
    },
  },
  judge: ({ conversionHost: { name, running, parallel } }) =>
    running >= parallel
      ? [
          {
            code: 'conversion-host-busy',
            message: `${name} has ${running} imports under way and takes ${parallel} at a time`,
          },
        ]
      : [],
};
