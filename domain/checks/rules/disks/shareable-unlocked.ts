import { movedDisks, sharedProof } from '../../../disk-plan.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** QEMU takes no lock on an image that is marked shareable; only a lock manager of libvirt's would. */
export const shareableUnlocked: Rule<TargetView, 'shareable-unlocked'> = {
  modes: liveOnly,
  outcomes: {
    'shareable-unlocked': {
      level: 'warning',
      meaning:
        'A disk is marked shareable, and libvirt has no lock manager: nothing but the guests keeps two of them from writing the same bytes.',
      remedy:
        'See that all its guests use a cluster file system, or configure lock_manager in qemu.conf.',
    },
  },
  judge: (view) =>
    view.machine?.lockManager !== ''
      ? []
      : movedDisks(view.vm)
          .filter((disk) => disk.shareable && !disk.readonly)
          .filter((disk) => sharedProof(disk, view) !== undefined)
          .map((disk) => ({
            code: 'shareable-unlocked',
            message: `disk ${disk.name} of ${view.vm.name} is marked shareable, and libvirt on ${view.target.name} has no lock manager`,
          })),
};
