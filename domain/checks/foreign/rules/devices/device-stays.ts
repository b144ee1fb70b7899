import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { fixedOf } from './kinds.ts';

export const deviceStays: ForeignRule<VmView, 'device-stays'> = {
  modes: everyMode,
  outcomes: {
    'device-stays': {
      level: 'warning',
      meaning:
        'The VM has something else of its host: a shared folder, shared memory, a port, protected memory. It does not come along.',
      remedy: 'See that the guest does without, or give it the like on the target afterwards.',
    },
  },
  judge: ({ vm }) =>
    fixedOf(vm.fixedDevices, 'other').map((device) => ({
      code: 'device-stays',
      message: `${vm.name} has something of its host that stays there: ${device}`,
    })),
};
