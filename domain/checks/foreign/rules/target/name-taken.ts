import { modeOfImport } from '../../../../import/mode.ts';
import { nameOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { isSameVm } from './same-vm.ts';

export const nameTaken: ForeignRule<TargetView, 'name-taken'> = {
  modes: everyMode,
  outcomes: {
    'name-taken': {
      level: 'critical',
      meaning: 'The target has another VM of the name that the VM would get.',
      remedy: 'Give it another one: --name.',
    },
  },
  judge: ({ vm, request, target }) => {
    const name = nameOf(vm, request.shape);
    const mode = modeOfImport(vm, request);
    return target.vms
      .filter((other) => other.name === name && !isSameVm(other, vm, mode))
      .map((other) => ({
        code: 'name-taken',
        message: `${target.name} already has another VM named ${name} (${other.uuid})`,
      }));
  },
};
