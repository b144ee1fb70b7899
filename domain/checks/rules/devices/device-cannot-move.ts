import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

export const deviceCannotMove: Rule<SourceView, 'device-cannot-move'> = {
  modes: everyMode,
  outcomes: {
    'device-cannot-move': {
      level: 'critical',
      meaning:
        'The VM has a device that is bound to its host: passed through, a folder of the host, shared memory and the like.',
      remedy: 'Detach it from the VM before the move.',
    },
  },
  judge: ({ vm }) =>
    vm.fixedDevices.map((device) => ({
      code: 'device-cannot-move',
      message: `${vm.name} has a device that is bound to ${vm.host}: ${device}`,
    })),
};
