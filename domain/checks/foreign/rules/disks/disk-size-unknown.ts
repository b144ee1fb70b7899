import { broughtDisks } from '../../../../import/disks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const diskSizeUnknown: ForeignRule<VmView, 'disk-size-unknown'> = {
  modes: everyMode,
  outcomes: {
    'disk-size-unknown': {
      level: 'critical',
      meaning: 'The source tells no size of a disk: its image or its storage cannot be reached.',
      remedy: 'See at the source that the disk is there, or leave it out (--disks).',
    },
  },
  judge: ({ vm, request }) =>
    broughtDisks(vm, request.shape)
      .filter(({ capacityBytes }) => !(capacityBytes > 0))
      .map(({ key, path }) => ({
        code: 'disk-size-unknown',
        message: `nothing tells how large disk ${key} of ${vm.name} (${path}) is`,
      })),
};
