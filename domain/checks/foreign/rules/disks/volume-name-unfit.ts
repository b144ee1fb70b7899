import { volumeTroubles } from '../../../../import/disks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { RequestView } from '../../views.ts';

export const volumeNameUnfit: ForeignRule<RequestView, 'volume-name-unfit'> = {
  modes: everyMode,
  outcomes: {
    'volume-name-unfit': {
      level: 'critical',
      meaning:
        'A name for a volume cannot be: its disk does not come, another one has it, or some storage would not take it.',
      remedy:
        'Correct --volumes: letters, digits, `.`, `_` and `-`, at most 100, and without the ending.',
    },
  },
  judge: ({ vm, request }) =>
    volumeTroubles(vm, request).map((message) => ({ code: 'volume-name-unfit', message })),
};
