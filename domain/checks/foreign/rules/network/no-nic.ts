import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const noNic: ForeignRule<VmView, 'no-nic'> = {
  modes: everyMode,
  outcomes: {
    'no-nic': {
      level: 'information',
      meaning: 'The VM has no network card, and gets one on the default network.',
      remedy: 'Nothing to do; take it away afterwards if it is not wanted.',
    },
  },
  judge: ({ vm }) =>
    vm.nics.length === 0
      ? [{ code: 'no-nic', message: `${vm.name} has no network card, and gets one` }]
      : [],
};
