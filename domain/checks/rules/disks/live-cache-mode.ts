import { movedDisks, sharedProof } from '../../../disk-plan.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

/** These go past the page cache of the host. */
const uncached: readonly (string | undefined)[] = ['none', 'directsync'];

export const liveCacheMode: Rule<StorageView, 'live-cache-mode'> = {
  modes: liveOnly,
  outcomes: {
    'live-cache-mode': {
      level: 'warning',
      meaning:
        'A shared disk is used through the page cache of the host: the target may have old bytes of it in its own.',
      remedy:
        'Set cache="none" in the disk’s <driver> and start the VM anew, where the storage is not one file system of a cluster.',
    },
  },
  judge: (view) =>
    movedDisks(view.vm)
      .filter((disk) => sharedProof(disk, view) === 'nonce' && disk.kind !== 'network')
      .filter(({ readonly, cache }) => !readonly && !uncached.includes(cache))
      .map((disk) => ({
        code: 'live-cache-mode',
        message: `disk ${disk.name} of ${view.vm.name} is shared, and its cache mode is ${disk.cache ?? 'left to QEMU (writeback)'}: only none and directsync keep both hosts of one mind`,
        host: view.vm.host,
      })),
};
