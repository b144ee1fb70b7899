import { copiedDisks, fitOf } from '../../copied.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

/** QEMU's mirror gives room back where the source has zeroes: 5 of 64 MiB were left of a preallocated image (seen). */
export const liveAllocationLost: Rule<StorageView, 'live-allocation-lost'> = {
  modes: liveOnly,
  outcomes: {
    'live-allocation-lost': {
      level: 'warning',
      meaning:
        'All room of a copied disk was asked for at once; a live move gives back what the guest has not written.',
      remedy:
        'Nothing to do if the pool keeps room for it; else move it cold, which keeps all of it.',
    },
  },
  judge: (view) => {
    if (view.request.allocation !== 'full') return [];
    return copiedDisks(view)
      .filter((disk) => {
        const fit = fitOf(disk, view);
        return typeof fit !== 'string' && fit.kind === 'file';
      })
      .map((disk) => ({
        code: 'live-allocation-lost',
        message: `disk ${disk.name} of ${view.vm.name} gets all its room on ${view.target.name}, and the live copy gives back what holds zeroes`,
      }));
  },
};
