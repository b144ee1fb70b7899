import type { Finding } from '../../../rule.ts';
import { asksGuest } from '../../../../import/mode.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'state-unfit' | 'paused-hears-nothing' | 'source-crashed';

export const stateUnfit: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'state-unfit': {
      level: 'critical',
      meaning: 'The VM is between states, suspended or in one that its platform does not explain.',
      remedy: 'Wait until it is off or runs, or bring it there at the source.',
    },
    'paused-hears-nothing': {
      level: 'critical',
      meaning: 'The VM is paused, and was to be shut down: its guest hears nothing.',
      remedy: 'Resume it at the source; or say --running force-off, or pause for a clone.',
    },
    'source-crashed': {
      level: 'warning',
      meaning: 'The guest crashed at the source: its file systems are as after a power cut.',
      remedy:
        'Start it there, let it repair its disks, and shut it down; or repair them afterwards.',
    },
  },
  judge: ({ vm, request }): Finding<Code>[] => {
    const is = `${vm.name} is ${vm.state === 'other' ? 'in a state of its own' : vm.state}`;
    if (vm.state === 'crashed') return [{ code: 'source-crashed', message: `${vm.name} crashed` }];
    if (vm.state === 'paused' && asksGuest(request))
      return [{ code: 'paused-hears-nothing', message: is }];
    return vm.state === 'shutting-down' || vm.state === 'other'
      ? [{ code: 'state-unfit', message: is }]
      : [];
  },
};
