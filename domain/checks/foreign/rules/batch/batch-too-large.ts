import { maxBatch } from '../../../../import/limits.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';

export const batchTooLarge: ForeignRule<BatchView, 'batch-too-large'> = {
  modes: everyMode,
  outcomes: {
    'batch-too-large': {
      level: 'critical',
      meaning: `More than ${maxBatch} VMs are asked for at once.`,
      remedy: 'Ask for the rest in a second request.',
    },
  },
  judge: ({ entries }) =>
    entries.length > maxBatch
      ? [
          {
            code: 'batch-too-large',
            message: `${entries.length} VMs are asked for at once, ${maxBatch} at most can be`,
          },
        ]
      : [],
};
