import { coldOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** Of a guest that goes on another rule speaks; this one is started anew, by its definition, after its shutdown. */
export const cpuNotStartable: Rule<TargetView, 'cpu-not-startable'> = {
  modes: coldOnly,
  skip: 'cpu',
  outcomes: {
    'cpu-not-startable': {
      level: 'critical',
      meaning:
        'The definition names a CPU that the target’s hypervisor cannot offer, and libvirt would refuse to start it there.',
      remedy:
        'Choose a host with such a CPU, or give the definition a CPU model that both hosts have, or mode="host-model".',
    },
  },
  judge: ({ vm, target, cpu }) =>
    cpu?.verdict === 'incompatible'
      ? [
          {
            code: 'cpu-not-startable',
            message: `${target.name} could not start ${vm.name} with the CPU of its definition: ${cpu.detail}`,
          },
        ]
      : [],
};
