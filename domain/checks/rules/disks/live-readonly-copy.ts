import { copiedDisks } from '../../copied.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

/** libvirt 9.0: "Cannot migrate empty or read-only disk". */
export const liveReadonlyCopy: Rule<StorageView, 'live-readonly-copy'> = {
  modes: liveOnly,
  outcomes: {
    'live-readonly-copy': {
      level: 'critical',
      meaning:
        'A read-only disk would have to be copied, which libvirt does not do beside a guest that runs.',
      remedy: 'Put it on storage that both hosts see, detach it, or move the VM cold.',
    },
  },
  judge: (view) =>
    copiedDisks(view)
      .filter(({ readonly }) => readonly)
      .map((disk) => ({
        code: 'live-readonly-copy',
        message: `disk ${disk.name} of ${view.vm.name} is read-only and on no storage that ${view.target.name} sees; libvirt copies none such while the VM runs`,
      })),
};
