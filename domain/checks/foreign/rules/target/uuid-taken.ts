import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { isSameVm } from './same-vm.ts';

/** A clone has a UUID of its own. */
export const uuidTaken: ForeignRule<TargetView, 'uuid-taken'> = {
  modes: moveOnly,
  outcomes: {
    'uuid-taken': {
      level: 'critical',
      meaning: 'The target has a VM of the same UUID: most likely the VM came there before.',
      remedy: 'If it is a left-over copy, undefine it there (virsh undefine).',
    },
  },
  judge: ({ vm, target }) =>
    target.vms
      .filter((other) => isSameVm(other, vm, 'move'))
      .map((other) => ({
        code: 'uuid-taken',
        message: `${target.name} already has a VM with the UUID ${vm.uuid} of ${vm.name}: ${other.name}`,
      })),
};
