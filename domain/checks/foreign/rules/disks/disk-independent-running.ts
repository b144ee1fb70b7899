import { broughtDisks } from '../../../../import/disks.ts';
import { cloneOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** No frozen point in time has such a disk in it. */
export const diskIndependentRunning: ForeignRule<VmView, 'disk-independent-running'> = {
  modes: cloneOnly,
  outcomes: {
    'disk-independent-running': {
      level: 'critical',
      meaning: 'A disk that is left out of snapshots cannot be read while the VM runs.',
      remedy: 'Shut the VM down for it (--running shutdown), or leave the disk out (--disks).',
    },
  },
  judge: ({ vm, request }) =>
    broughtDisks(vm, request.shape)
      .filter(({ independent }) => independent)
      .map(({ key, path }) => ({
        code: 'disk-independent-running',
        message: `disk ${key} of ${vm.name} (${path}) is left out of snapshots, and the VM runs`,
      })),
};
