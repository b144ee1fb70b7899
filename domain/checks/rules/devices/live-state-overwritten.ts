import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** UEFI variables and TPM state cross with the memory, and QEMU writes them over what lies there (seen with 9.0). */
export const liveStateOverwritten: Rule<TargetView, 'live-state-overwritten'> = {
  modes: liveOnly,
  outcomes: {
    'live-state-overwritten': {
      level: 'warning',
      meaning:
        'UEFI variables or TPM state already lie where those of the VM will come to lie; they are written over.',
      remedy: 'If they may be wanted, put them aside before the move.',
    },
  },
  judge: ({ vm, target, presentState = [] }) =>
    presentState.map((path) => ({
      code: 'live-state-overwritten',
      message: `${target.name} already has ${path}, which the state of ${vm.name} will replace`,
    })),
};
