import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const nameTaken: Rule<TargetView, 'name-taken'> = {
  modes: everyMode,
  outcomes: {
    'name-taken': {
      level: 'critical',
      meaning: 'The target has another VM of the same name.',
      remedy: 'Rename one of them: virsh domrename.',
    },
  },
  judge: ({ vm, target }) =>
    target.vms
      .filter(({ uuid, name }) => uuid !== vm.uuid && name === vm.name)
      .map((other) => ({
        code: 'name-taken',
        message: `${target.name} already has another VM named ${vm.name} (${other.uuid})`,
        remedy: `Rename one of them: virsh domrename ${vm.name} NEW-NAME`,
      })),
};
