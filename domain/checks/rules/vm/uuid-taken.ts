import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const uuidTaken: Rule<TargetView, 'uuid-taken'> = {
  modes: everyMode,
  outcomes: {
    'uuid-taken': {
      level: 'critical',
      meaning: 'The target has a VM of the same UUID.',
      remedy: 'If it is a left-over copy, undefine it there.',
    },
  },
  judge: ({ vm, target }) =>
    target.vms
      .filter(({ uuid }) => uuid === vm.uuid)
      .map((other) => ({
        code: 'uuid-taken',
        message: `${target.name} already has a VM with the UUID ${vm.uuid}: ${other.name}`,
        remedy: `If it is a left-over copy, undefine it there: virsh undefine ${other.name}`,
      })),
};
