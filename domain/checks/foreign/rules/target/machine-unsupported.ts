import { domainTypeFor, machineFor, machineText } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'machine-unsupported' | 'target-emulates';

export const machineUnsupported: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'machine-unsupported': {
      level: 'critical',
      meaning: 'The target has no emulator for the architecture and the machine of the VM.',
      remedy: 'Choose another host, or install the emulator of that architecture there.',
    },
    'target-emulates': {
      level: 'warning',
      meaning:
        'The target has no KVM for the VM’s machine and emulates its CPU: many times slower.',
      remedy: 'Choose a host with KVM (virtualization switched on in its firmware).',
    },
  },
  judge: ({ vm, request, target }) => {
    const wish = request.shape.domainType;
    const machine = machineFor(vm, request);
    const type = domainTypeFor(vm, { machine, wish }, target);
    const text = machineText(vm, { machine, wish });
    if (type === undefined) {
      const message = `${target.name} cannot run ${vm.name}: it has no emulator for ${text}`;
      return [{ code: 'machine-unsupported', message }];
    }
    // Who asked for emulation knows.
    if (type === 'kvm' || wish === 'qemu') return [];
    const message = `${target.name} has no KVM for ${text} and would emulate ${vm.name}`;
    return [{ code: 'target-emulates', message }];
  },
};
