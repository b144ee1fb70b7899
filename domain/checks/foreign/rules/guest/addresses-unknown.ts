import { isOff } from '../../../../import/mode.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'addresses-unknown' | 'addresses-unknown-off';

export const addressesUnknown: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'addresses-unknown': {
      level: 'warning',
      meaning:
        'The guest runs and tells nothing of its network (no guest tools, no agent). Its own settings stay as they are; the names of its interfaces are kept as far as its files tell them, which they may not for several cards, nor for a Windows.',
      remedy: 'Start open-vm-tools, VMware Tools or qemu-guest-agent in it and look again.',
    },
    'addresses-unknown-off': {
      level: 'information',
      meaning:
        'The VM is off, so nothing tells its addresses. Its own settings stay as they are; the names of its interfaces are kept as far as its files tell them, which they may not for several cards.',
      remedy:
        'If it has static addresses, start it once with its guest tools at the source and look again.',
    },
  },
  judge: ({ vm }) => {
    if (vm.nics.length === 0 || vm.guestNetwork.length > 0) return [];
    return isOff(vm)
      ? [{ code: 'addresses-unknown-off', message: `${vm.name} is off and tells no addresses` }]
      : [{ code: 'addresses-unknown', message: `${vm.name} runs and tells no addresses` }];
  },
};
