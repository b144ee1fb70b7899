import { movedDisks, sharedProof } from '../../../disk-plan.ts';
import { coldOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

export const sharedByWord: Rule<StorageView, 'shared-by-word'> = {
  modes: coldOnly,
  outcomes: {
    'shared-by-word': {
      level: 'warning',
      meaning:
        'A disk is shared by a person’s word alone; both hosts compare all of it while the VM is down.',
      remedy: 'Nothing to do; the downtime grows by the time of reading it once.',
    },
  },
  judge: (view) =>
    movedDisks(view.vm)
      .filter((disk) => sharedProof(disk, view) === 'content')
      .map((disk) => ({
        code: 'shared-by-word',
        message: `disk ${disk.name} of ${view.vm.name} (${disk.path}) is shared by your word; ${view.vm.host} and ${view.target.name} compare all of it once ${view.vm.name} is down`,
      })),
};
