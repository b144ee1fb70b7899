import { cpusOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** `convert/target-shape.ts` falls back to one core a socket then. */
export const socketsChange: ForeignRule<VmView, 'sockets-change'> = {
  modes: everyMode,
  outcomes: {
    'sockets-change': {
      level: 'warning',
      meaning:
        'The CPUs asked for do not fill sockets of as many cores as at the source; the guest sees a socket for each CPU. Windows for desktops uses two sockets at most.',
      remedy: 'Ask for a multiple of the cores of a socket.',
    },
  },
  judge: ({ vm, request }) => {
    const cpus = cpusOf(vm, request.shape);
    return vm.coresPerSocket > 1 && cpus % vm.coresPerSocket !== 0
      ? [
          {
            code: 'sockets-change',
            message: `${vm.name} would have ${cpus} CPUs, and has ${vm.coresPerSocket} cores in a socket at its source`,
          },
        ]
      : [];
  },
};
