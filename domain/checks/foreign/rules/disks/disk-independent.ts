import { broughtDisks } from '../../../../import/disks.ts';
import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const diskIndependent: ForeignRule<VmView, 'disk-independent'> = {
  modes: moveOnly,
  outcomes: {
    'disk-independent': {
      level: 'warning',
      meaning:
        'A disk is left out of snapshots at its source, or loses its changes whenever the guest stops. It comes as an ordinary one.',
      remedy: 'See that the guest bears it that this disk keeps what is written to it.',
    },
  },
  judge: ({ vm, request }) =>
    broughtDisks(vm, request.shape)
      .filter(({ independent }) => independent)
      .map(({ key, path }) => ({
        code: 'disk-independent',
        message: `disk ${key} of ${vm.name} (${path}) is left out of snapshots`,
      })),
};
