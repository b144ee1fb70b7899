import { coldOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';
import { firstOf } from '../../words.ts';

export const checkpoints: Rule<SourceView, 'checkpoints'> = {
  modes: coldOnly,
  outcomes: {
    checkpoints: {
      level: 'warning',
      meaning: 'The VM has checkpoints, which do not move: its next backup is a full one.',
      remedy: 'Nothing to do if that is fine.',
    },
  },
  judge: ({ vm: { checkpoints: names, name, host } }) =>
    names.length === 0
      ? []
      : [
          {
            code: 'checkpoints',
            message: `${name} on ${host} has checkpoints (${firstOf(names)}); they do not move: the next backup of it is a full one`,
          },
        ],
};
