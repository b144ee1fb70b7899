import { copiedDisks } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

export const storageNotShared: Rule<StorageView, 'storage-not-shared'> = {
  modes: everyMode,
  outcomes: {
    'storage-not-shared': {
      level: 'critical',
      meaning: 'The target does not see a disk, and the request forbids to copy it.',
      remedy:
        'Mount the same storage at the same path on both hosts, say --shared-disk for a device that both see, or let it be copied with --storage auto.',
    },
  },
  judge: (view) =>
    view.request.storage !== 'shared'
      ? []
      : copiedDisks(view).map((disk) => ({
          code: 'storage-not-shared',
          message: `${view.target.name} does not see disk ${disk.name} of ${view.vm.name} (${disk.path}), and --storage shared forbids to copy it`,
          remedy: `Mount the same storage at the same path on both hosts, say --shared-disk ${disk.name} if it is a device that both see, or let it be copied with --storage auto.`,
        })),
};
