import { copiedDisks } from '../../copied.ts';
import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

/** QEMU copies above the encryption: what arrives has to be encrypted anew, and the new volume is none such. */
export const liveEncryptedCopy: Rule<StorageView, 'live-encrypted-copy'> = {
  modes: liveOnly,
  outcomes: {
    'live-encrypted-copy': {
      level: 'critical',
      meaning:
        'A disk that would be copied is encrypted by the host; a live move has no encrypted volume to copy it into.',
      remedy:
        'Move it cold: a raw LUKS image crosses as it is. Or use storage that both hosts see.',
    },
  },
  judge: (view) =>
    copiedDisks(view)
      .filter(({ encrypted, format }) => encrypted === true && format === 'raw')
      .map((disk) => ({
        code: 'live-encrypted-copy',
        message: `disk ${disk.name} of ${view.vm.name} is encrypted by ${view.vm.host}, and a live move cannot copy it`,
      })),
};
