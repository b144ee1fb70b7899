import { movedDisks } from '../../../disk-plan.ts';
import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';
import { listed } from '../../words.ts';

export const diskUnknown: Rule<StorageView, 'disk-unknown'> = {
  modes: everyMode,
  outcomes: {
    'disk-unknown': {
      level: 'critical',
      meaning: 'The request names a disk that the VM does not have.',
      remedy: 'Correct --disk or --shared-disk.',
    },
  },
  judge: ({ vm, request }) => {
    const names = movedDisks(vm).map(({ name }) => name);
    const said = [...(request.sharedDisks ?? []), ...Object.keys(request.disks ?? {})];
    return [...new Set(said)]
      .filter((name) => !names.includes(name))
      .map((name) => ({
        code: 'disk-unknown',
        message: `${vm.name} has no disk ${name} that a move would take; it has ${listed(names)}`,
      }));
  },
};
