import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const macTaken: Rule<TargetView, 'mac-taken'> = {
  modes: everyMode,
  outcomes: {
    'mac-taken': {
      level: 'critical',
      meaning: 'Another VM of the target has a MAC address of the VM.',
      remedy: 'Give one of them another MAC address: virsh edit.',
    },
  },
  judge: ({ vm, target }) => {
    const macs = new Set(vm.nics.map(({ mac }) => mac.toLowerCase()));
    return target.vms.flatMap((other): Finding<'mac-taken'>[] => {
      const mac = other.macs.find((one) => macs.has(one.toLowerCase()));
      if (other.uuid === vm.uuid || mac === undefined) return [];
      return [
        {
          code: 'mac-taken',
          message: `VM ${other.name} on ${target.name} already has the MAC address ${mac} of ${vm.name}`,
        },
      ];
    });
  },
};
