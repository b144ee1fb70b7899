import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

export const conversionSlow: ForeignRule<ConversionView, 'conversion-slow'> = {
  modes: everyMode,
  outcomes: {
    'conversion-slow': {
      level: 'warning',
      meaning:
        'The conversion host has no KVM that works, so that the conversion emulates its appliance: several times as long.',
      remedy: 'Choose a host with KVM (--on).',
    },
  },
  judge: ({ request, conversionHost: { name, kvm } }) =>
    request.convert === 'yes' && !kvm
      ? [{ code: 'conversion-slow', message: `${name} converts without KVM` }]
      : [],
};
