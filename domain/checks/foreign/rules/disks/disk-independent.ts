import { broughtDisks } from '../../../../import/disks.ts';
import { modeOfImport } from '../../../../import/mode.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'disk-independent' | 'disk-independent-running';

export const diskIndependent: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'disk-independent': {
      level: 'warning',
      meaning:
        'A disk is left out of snapshots at its source, or loses its changes whenever the guest stops. It comes as an ordinary one.',
      remedy: 'See that the guest bears it that this disk keeps what is written to it.',
    },
    'disk-independent-running': {
      level: 'critical',
      meaning: 'A disk that is left out of snapshots cannot be read while the VM runs.',
      remedy: 'Shut the VM down for it, or leave the disk out (--disks).',
    },
  },
  judge: ({ vm, request }) => {
    const code =
      modeOfImport(vm, request) === 'clone' ? 'disk-independent-running' : 'disk-independent';
    return broughtDisks(vm, request.shape)
      .filter(({ independent }) => independent)
      .map(({ key, path }) => ({
        code,
        message: `disk ${key} of ${vm.name} (${path}) is left out of snapshots`,
      }));
  },
};
