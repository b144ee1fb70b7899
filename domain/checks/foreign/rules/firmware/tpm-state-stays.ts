import { tpmOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const tpmStateStays: ForeignRule<VmView, 'tpm-state-stays'> = {
  modes: everyMode,
  outcomes: {
    'tpm-state-stays': {
      level: 'warning',
      meaning:
        'The VM has a TPM, whose secrets no platform gives away: what is sealed with it (BitLocker, LUKS by TPM) does not open by itself on the target.',
      remedy:
        'Have the recovery keys at hand, or suspend BitLocker (and enrol a passphrase for LUKS) at the source first.',
    },
  },
  judge: ({ vm, request }) =>
    vm.tpm
      ? [
          {
            code: 'tpm-state-stays',
            message: `${vm.name} has a TPM and comes with ${tpmOf(vm, request.shape) ? 'a new, empty one' : 'none'}`,
          },
        ]
      : [],
};
