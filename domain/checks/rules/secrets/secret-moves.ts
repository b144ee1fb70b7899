import { coldOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { lackingSecrets } from './lacking.ts';

export const secretMoves: Rule<TargetView, 'secret-moves'> = {
  modes: coldOnly,
  outcomes: {
    'secret-moves': {
      level: 'information',
      meaning:
        'The target lacks a secret that the VM needs; it is made there with the value of the source.',
      remedy: 'Nothing to do.',
    },
  },
  judge: (view) =>
    lackingSecrets(view)
      .filter(({ readable }) => readable)
      .map(({ named }) => ({
        code: 'secret-moves',
        message: `${view.target.name} has no secret ${named}, which ${view.vm.name} needs; it is made there with the value that ${view.vm.host} holds`,
      })),
};
