import { broughtDisks } from '../../../../import/disks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const diskShared: ForeignRule<VmView, 'disk-shared'> = {
  modes: everyMode,
  outcomes: {
    'disk-shared': {
      level: 'critical',
      meaning: 'A disk is shared with other VMs, which may write it during the copy and after it.',
      remedy: 'Leave it out (--disks), or take it from the other VMs first.',
    },
  },
  judge: ({ vm, request }) =>
    broughtDisks(vm, request.shape)
      .filter(({ shared }) => shared)
      .map(({ key, path }) => ({
        code: 'disk-shared',
        message: `disk ${key} of ${vm.name} (${path}) is shared between VMs`,
      })),
};
