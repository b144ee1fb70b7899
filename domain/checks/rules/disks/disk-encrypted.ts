import { targetFormatFor } from '../../../disk-plan.ts';
import { copiedDisks } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

export const diskEncrypted: Rule<StorageView, 'disk-encrypted'> = {
  modes: everyMode,
  outcomes: {
    'disk-encrypted': {
      level: 'critical',
      meaning: 'A disk that would be copied is encrypted inside a qcow2 image.',
      remedy: 'Use storage that both hosts see, or a raw LUKS image, which crosses as it is.',
    },
  },
  judge: (view) =>
    copiedDisks(view)
      .filter(({ encrypted }) => encrypted === true)
      .filter((disk) => disk.format !== 'raw' || targetFormatFor(disk, view) !== 'raw')
      .map((disk) => ({
        code: 'disk-encrypted',
        message: `disk ${disk.name} of ${view.vm.name} is encrypted inside a qcow2 image, which cannot be copied`,
      })),
};
