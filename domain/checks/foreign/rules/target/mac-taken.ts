import { keptMacs } from '../../../../import/macs.ts';
import { modeOfImport } from '../../../../import/mode.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { isSameVm } from './same-vm.ts';

export const macTaken: ForeignRule<TargetView, 'mac-taken'> = {
  modes: everyMode,
  outcomes: {
    'mac-taken': {
      level: 'critical',
      meaning: 'Another VM of the target has a MAC address that the VM would keep.',
      remedy: 'Give one of them another address: virsh edit there, or --nics or --new-macs here.',
    },
  },
  judge: ({ vm, request, target }) => {
    const mode = modeOfImport(vm, request);
    const macs = new Set(keptMacs(vm, mode, request.shape));
    return target.vms.flatMap((other): Finding<'mac-taken'>[] => {
      const mac = other.macs.find((one) => macs.has(one.toLowerCase()));
      if (mac === undefined || isSameVm(other, vm, mode)) return [];
      const message = `VM ${other.name} on ${target.name} already has the MAC address ${mac} of ${vm.name}`;
      return [{ code: 'mac-taken', message }];
    });
  },
};
