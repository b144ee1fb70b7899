import { asksGuest } from '../../../../import/mode.ts';
import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** KVM presses the power button, which most guests hear without an agent; vSphere asks its tools and nobody else. */
export const shutdownUnheard: ForeignRule<VmView, 'shutdown-unheard'> = {
  modes: moveOnly,
  outcomes: {
    'shutdown-unheard': {
      level: 'warning',
      meaning:
        'The VM is to be shut down in order, and nothing shows that guest tools run in it which would hear of it. When its time is over the import waits for a person, or cuts its power if --running says so.',
      remedy:
        'Start the guest tools, shut it down yourself, or say --running shutdown-or-force-off.',
    },
  },
  judge: ({ vm, request }) =>
    vm.kind === 'vsphere' &&
    vm.state === 'running' &&
    asksGuest(request) &&
    vm.guestNetwork.length === 0
      ? [{ code: 'shutdown-unheard', message: `${vm.name} may not hear that it is to shut down` }]
      : [],
};
