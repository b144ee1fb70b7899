import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const kernelDiffers: Rule<TargetView, 'kernel-differs'> = {
  modes: liveOnly,
  skip: 'kernel',
  outcomes: {
    'kernel-differs': {
      level: 'warning',
      meaning: 'The hosts run different kernels: what KVM emulates for a running guest may differ.',
      remedy:
        'Nothing to do if moves between these two are known to work; else update the older one.',
    },
  },
  judge: ({ vm, target, machine, sourceMachine }) => {
    const here = machine?.kernel ?? '';
    const there = sourceMachine?.kernel ?? '';
    if (here === '' || there === '' || here === there) return [];
    return [
      {
        code: 'kernel-differs',
        message: `${vm.host} runs the kernel ${there}, ${target.name} runs ${here}`,
      },
    ];
  },
};
