import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const uuidMissing: ForeignRule<VmView, 'uuid-missing'> = {
  modes: moveOnly,
  outcomes: {
    'uuid-missing': {
      level: 'information',
      meaning: 'The source tells no UUID of the VM, which gets a new one.',
      remedy: 'Nothing to do, unless a licence hangs on it.',
    },
  },
  judge: ({ vm }) =>
    vm.uuid === ''
      ? [{ code: 'uuid-missing', message: `${vm.name} has no UUID, and gets a new one` }]
      : [],
};
