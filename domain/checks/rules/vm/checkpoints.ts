import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';
import { firstOf } from '../../words.ts';

/** libvirt 9.0 migrates beside them, and leaves them behind (seen). */
export const checkpoints: Rule<SourceView, 'checkpoints'> = {
  modes: everyMode,
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
