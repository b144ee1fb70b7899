import { firstOf } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const snapshotsStay: ForeignRule<VmView, 'snapshots-stay'> = {
  modes: everyMode,
  outcomes: {
    'snapshots-stay': {
      level: 'warning',
      meaning: 'The VM has snapshots. Its disks come as they are now, without them.',
      remedy: 'If one of them is wanted, go back to it at the source first.',
    },
  },
  judge: ({ vm }) =>
    vm.snapshots.length === 0
      ? []
      : [
          {
            code: 'snapshots-stay',
            message: `${vm.name} has ${vm.snapshots.length === 1 ? 'a snapshot' : `${vm.snapshots.length} snapshots`} (${firstOf(vm.snapshots)})`,
          },
        ],
};
