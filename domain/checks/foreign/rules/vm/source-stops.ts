import { isOff } from '../../../../import/mode.ts';
import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'source-stops' | 'source-forced-off';

export const sourceStops: ForeignRule<VmView, Code> = {
  modes: moveOnly,
  outcomes: {
    'source-stops': {
      level: 'information',
      meaning:
        'The VM runs and is shut down before its disks are read: it is away from then until it runs on the target.',
      remedy: 'Choose the hour; --running leave makes a clone without it.',
    },
    'source-forced-off': {
      level: 'warning',
      meaning:
        'The VM runs and its power is cut: file systems are as after a power cut, and those of Windows may be refused by the conversion.',
      remedy: 'Shut it down yourself, or leave out --running force-off.',
    },
  },
  judge: ({ vm, request }) => {
    if (isOff(vm)) return [];
    return request.running === 'force-off'
      ? [{ code: 'source-forced-off', message: `${vm.name} is ${vm.state}; its power is cut` }]
      : [{ code: 'source-stops', message: `${vm.name} is ${vm.state}; it is shut down first` }];
  },
};
