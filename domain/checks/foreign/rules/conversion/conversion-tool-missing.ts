import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

export const conversionToolMissing: ForeignRule<ConversionView, 'conversion-tool-missing'> = {
  modes: everyMode,
  outcomes: {
    'conversion-tool-missing': {
      level: 'critical',
      meaning: 'The conversion host has no virt-v2v-in-place that could be used.',
      remedy:
        'Install virt-v2v 2.2 or later there, choose another host with --on, or bring the VM with emulated devices: --no-convert.',
    },
  },
  judge: ({ request, conversionHost: { name, toolVersion, toolTrouble } }) =>
    request.convert === 'yes' && toolVersion === undefined
      ? [
          {
            code: 'conversion-tool-missing',
            message: `${name} cannot convert: ${toolTrouble ?? 'virt-v2v-in-place is missing'}`,
          },
        ]
      : [],
};
