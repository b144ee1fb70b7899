import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { fixedOf } from './kinds.ts';

export const nicOfHost: ForeignRule<VmView, 'nic-of-host'> = {
  modes: everyMode,
  outcomes: {
    'nic-of-host': {
      level: 'warning',
      meaning:
        'A network card is one of the host (SR-IOV, vDPA and the like). It comes as an emulated one, with its MAC address.',
      remedy: 'Nothing to do, if the guest does not need the speed.',
    },
  },
  judge: ({ vm }) =>
    fixedOf(vm.fixedDevices, 'nic').map((device) => ({
      code: 'nic-of-host',
      message: `a network card of ${vm.name} belongs to its host: ${device}`,
    })),
};
