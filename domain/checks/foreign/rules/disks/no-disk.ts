import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const noDisk: ForeignRule<VmView, 'no-disk'> = {
  modes: everyMode,
  outcomes: {
    'no-disk': {
      level: 'critical',
      meaning: 'The VM has no disk: there is nothing to bring.',
      remedy: 'See that the right VM is named, and that its disks are attached.',
    },
  },
  judge: ({ vm }) =>
    vm.disks.length > 0 ? [] : [{ code: 'no-disk', message: `${vm.name} has no disk` }],
};
