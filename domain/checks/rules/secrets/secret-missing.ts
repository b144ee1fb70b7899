import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { lackingSecrets } from './lacking.ts';

export const secretMissing: Rule<TargetView, 'secret-missing'> = {
  modes: everyMode,
  outcomes: {
    'secret-missing': {
      level: 'critical',
      meaning:
        'The target lacks a secret that the VM needs, and the source does not give its value out.',
      remedy: 'Define it there: virsh secret-define and virsh secret-set-value.',
    },
  },
  judge: (view) =>
    lackingSecrets(view)
      .filter(({ readable }) => !readable)
      .map(({ named }) => ({
        code: 'secret-missing',
        message: `${view.target.name} has no secret ${named}, which ${view.vm.name} needs, and ${view.vm.host} does not give its value out`,
      })),
};
