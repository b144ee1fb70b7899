import { copiedDisks, fitOf } from '../../copied.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';
import { mib } from '../../words.ts';

/** What LVM rounds up to, unless a volume group was made otherwise. */
const extentBytes = 4 * 1024 * 1024;

/** libvirt 9.0: "Source and target image have different sizes". It says so before the guest is touched. */
export const liveSizeDiffers: Rule<StorageView, 'live-size-differs'> = {
  modes: liveOnly,
  outcomes: {
    'live-size-differs': {
      level: 'warning',
      meaning:
        'A disk would be copied into a volume group whose volumes come in whole extents; libvirt refuses a target of another size.',
      remedy:
        'Name a pool of files with --pool, grow the disk to a multiple of 4 MiB, or move the VM cold.',
    },
  },
  judge: (view) =>
    copiedDisks(view).flatMap((disk) => {
      const fit = fitOf(disk, view);
      const isRounded = typeof fit !== 'string' && fit.pool.type === 'logical';
      if (!isRounded || disk.capacityBytes % extentBytes === 0) return [];
      return [
        {
          code: 'live-size-differs',
          message: `disk ${disk.name} of ${view.vm.name} has ${disk.capacityBytes} bytes, no whole extents of ${mib(extentBytes)}: its volume in pool ${fit.pool.name} of ${view.target.name} would be larger, and a live move takes none such`,
        },
      ];
    }),
};
