import { movedDisks, sharedProof } from '../../../disk-plan.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

export const liveSharedUnproved: Rule<StorageView, 'live-shared-unproved'> = {
  modes: liveOnly,
  outcomes: {
    'live-shared-unproved': {
      level: 'critical',
      meaning:
        'A disk is shared by a person’s word alone; it can be compared only while the VM is off.',
      remedy: 'Move it cold, which compares it; or let it be copied: leave out --shared-disk.',
    },
  },
  judge: (view) =>
    movedDisks(view.vm)
      .filter((disk) => sharedProof(disk, view) === 'content')
      .map((disk) => ({
        code: 'live-shared-unproved',
        message: `disk ${disk.name} of ${view.vm.name} (${disk.path}) is shared by your word, which can be proved only while ${view.vm.name} is off`,
      })),
};
