import { staysBehind } from '../../../../import/disks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const diskStays: ForeignRule<VmView, 'disk-stays'> = {
  modes: everyMode,
  outcomes: {
    'disk-stays': {
      level: 'information',
      meaning: 'A disk was not asked for and does not come along. The boot disk always does.',
      remedy: 'Nothing to do, if the guest starts without it (see its /etc/fstab).',
    },
  },
  judge: ({ vm, request }) =>
    staysBehind(vm, request.shape).map(({ key, path }) => ({
      code: 'disk-stays',
      message: `disk ${key} of ${vm.name} (${path}) stays behind`,
    })),
};
