import { cloneOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const becomesClone: ForeignRule<VmView, 'becomes-clone'> = {
  modes: cloneOnly,
  outcomes: {
    'becomes-clone': {
      level: 'warning',
      meaning:
        'The source is not shut down, so what comes is a clone: its disks as after a power cut, with a UUID and MAC addresses of its own, and never started by itself. Inside it has the source’s name and addresses.',
      remedy:
        'For a move, let it be shut down (--running shutdown). Start a clone only where it cannot meet its source.',
    },
  },
  judge: ({ vm, request }) => [
    {
      code: 'becomes-clone',
      message: `${vm.name} ${request.running === 'pause' ? 'is paused' : `stays ${vm.state}`} at its source; what comes is a clone${request.autoStart ? ', which is not started in spite of the request' : ''}`,
    },
  ],
};
