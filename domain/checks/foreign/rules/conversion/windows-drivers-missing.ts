import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

export const windowsDriversMissing: ForeignRule<ConversionView, 'windows-drivers-missing'> = {
  modes: everyMode,
  outcomes: {
    'windows-drivers-missing': {
      level: 'critical',
      meaning:
        'The guest is a Windows, and the conversion host has no virtio drivers for it: converted without them it would not find its disk.',
      remedy:
        'Put a virtio-win ISO there and name it (host.conversion.virtioWin), or bring the VM with emulated devices: --no-convert.',
    },
  },
  judge: ({ vm, request, conversionHost: { name, virtioWin } }) =>
    vm.guestFamily === 'windows' && request.convert === 'yes' && !virtioWin
      ? [
          {
            code: 'windows-drivers-missing',
            message: `${vm.name} has a Windows, and ${name} has no drivers for it`,
          },
        ]
      : [],
};
