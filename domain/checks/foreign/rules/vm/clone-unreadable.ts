import { cloneOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** An ESXi locks the disks of a VM that runs, and /folder is the way to them so far. */
export const cloneUnreadable: ForeignRule<VmView, 'clone-unreadable'> = {
  modes: cloneOnly,
  outcomes: {
    'clone-unreadable': {
      level: 'critical',
      meaning:
        'A VM of vSphere is to be copied while it runs, and vSphere gives nobody its disks then.',
      remedy:
        'Let it be shut down (--running shutdown), or clone it in vSphere and bring the clone.',
    },
  },
  judge: ({ vm }) =>
    vm.kind === 'vsphere'
      ? [
          {
            code: 'clone-unreadable',
            message: `${vm.name} is ${vm.state}, and the disks of a VM of vSphere are read only while it is off`,
          },
        ]
      : [],
};
