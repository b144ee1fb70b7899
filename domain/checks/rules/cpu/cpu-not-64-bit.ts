import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const cpuNot64Bit: Rule<TargetView, 'cpu-not-64-bit'> = {
  modes: everyMode,
  skip: 'cpu',
  outcomes: {
    'cpu-not-64-bit': {
      level: 'critical',
      meaning: 'The VM is of x86_64 under KVM, and the target’s CPU has no 64-bit mode.',
      remedy: 'Choose another host.',
    },
  },
  judge: ({ vm, target, machine }) =>
    vm.domainType !== 'kvm' || vm.arch !== 'x86_64' || machine?.cpu?.has64Bit !== false
      ? []
      : [
          {
            code: 'cpu-not-64-bit',
            message: `the CPU of ${target.name} has no 64-bit mode (lm), which ${vm.name} needs`,
          },
        ],
};
