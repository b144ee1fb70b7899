import { secureBootOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'secure-boot-impossible' | 'secure-boot-anew' | 'secure-boot-off';

export const secureBoot: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'secure-boot-impossible': {
      level: 'critical',
      meaning: 'Secure Boot was asked for a VM that starts by BIOS.',
      remedy: 'Leave out --secure-boot.',
    },
    'secure-boot-anew': {
      level: 'warning',
      meaning:
        'The VM starts by Secure Boot with the keys of the target’s firmware: a boot loader or a driver signed with keys that were enrolled at the source is refused.',
      remedy:
        'Nothing to do for systems signed by their vendor. Else bring it with --no-secure-boot, and enrol the keys on the target.',
    },
    'secure-boot-off': {
      level: 'information',
      meaning: 'The VM has Secure Boot at its source, and was asked to come without.',
      remedy: 'Nothing to do.',
    },
  },
  judge: ({ vm, request }) => {
    const isWanted = secureBootOf(vm, request.shape);
    if (isWanted && vm.firmware === 'bios') {
      const message = `${vm.name} starts by BIOS, which has no Secure Boot`;
      return [{ code: 'secure-boot-impossible', message }];
    }
    if (isWanted) {
      const message = `${vm.name} starts by Secure Boot, with the keys of the target's firmware`;
      return [{ code: 'secure-boot-anew', message }];
    }
    return vm.secureBoot
      ? [{ code: 'secure-boot-off', message: `${vm.name} comes without its Secure Boot` }]
      : [];
  },
};
