import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

export const conversionHostDisabled: ForeignRule<ConversionView, 'conversion-host-disabled'> = {
  modes: everyMode,
  outcomes: {
    'conversion-host-disabled': {
      level: 'critical',
      meaning: 'A person took the conversion host out of service.',
      remedy: 'Choose another one with --on, or enable it: `vmferry conversion-hosts enable`.',
    },
  },
  judge: ({ conversionHost, enabled }) =>
    enabled === false
      ? [{ code: 'conversion-host-disabled', message: `${conversionHost.name} is disabled` }]
      : [],
};
