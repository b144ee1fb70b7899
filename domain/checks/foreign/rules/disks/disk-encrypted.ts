import { broughtDisks } from '../../../../import/disks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** By its platform, not by its guest: LUKS inside the guest is for the conversion, which takes keys. */
export const diskEncrypted: ForeignRule<VmView, 'disk-encrypted'> = {
  modes: everyMode,
  outcomes: {
    'disk-encrypted': {
      level: 'critical',
      meaning: 'A disk is encrypted by its platform: what can be read of it is no use elsewhere.',
      remedy: 'Decrypt it at the source, or leave it out (--disks).',
    },
  },
  judge: ({ vm, request }) =>
    broughtDisks(vm, request.shape)
      .filter(({ encrypted }) => encrypted)
      .map(({ key, path }) => ({
        code: 'disk-encrypted',
        message: `disk ${key} of ${vm.name} (${path}) is encrypted by its platform`,
      })),
};
