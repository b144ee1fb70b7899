import { chainWish } from '../../../disk-plan.ts';
import { copiedDisks } from '../../copied.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

/** libvirt copies what the guest sees into the top image, and fills none below. */
export const liveChainKept: Rule<StorageView, 'live-chain-kept'> = {
  modes: liveOnly,
  outcomes: {
    'live-chain-kept': {
      level: 'critical',
      meaning:
        'A chain of images was asked to arrive as it is; a live move copies what the guest sees into one image.',
      remedy: 'Leave out --chain keep, or move the VM cold.',
    },
  },
  judge: (view) =>
    copiedDisks(view)
      .filter((disk) => chainWish(disk, view).keep)
      .map((disk) => ({
        code: 'live-chain-kept',
        message: `disk ${disk.name} of ${view.vm.name} lies on backing images, and a live move cannot keep them apart`,
      })),
};
