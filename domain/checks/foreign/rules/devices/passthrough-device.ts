import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { fixedOf } from './kinds.ts';

export const passthroughDevice: ForeignRule<VmView, 'passthrough-device'> = {
  modes: everyMode,
  outcomes: {
    'passthrough-device': {
      level: 'critical',
      meaning:
        'The VM has a device of its host handed through, which may hold data or be what the guest is for.',
      remedy: 'Detach it at the source, and see that the guest does without.',
    },
  },
  judge: ({ vm }) =>
    fixedOf(vm.fixedDevices, 'passed-through').map((device) => ({
      code: 'passthrough-device',
      message: `${vm.name} has a device of its host: ${device}`,
    })),
};
