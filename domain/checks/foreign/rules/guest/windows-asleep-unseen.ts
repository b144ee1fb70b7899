import { isOff } from '../../../../import/mode.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** What is on its disks is seen by the conversion only. */
export const windowsAsleepUnseen: ForeignRule<VmView, 'windows-asleep-unseen'> = {
  modes: everyMode,
  outcomes: {
    'windows-asleep-unseen': {
      level: 'information',
      meaning:
        'A Windows that is hibernated, or was shut down with fast startup, is not converted; from outside nobody sees whether this one is.',
      remedy:
        'If in doubt, start it at the source, run powercfg /h off and shut it down. What was copied is used again after a refusal.',
    },
  },
  judge: ({ vm, request }) =>
    vm.guestFamily === 'windows' && request.convert === 'yes' && isOff(vm)
      ? [
          {
            code: 'windows-asleep-unseen',
            message: `${vm.name} is off; whether its Windows is hibernated is seen by the conversion only`,
          },
        ]
      : [],
};
