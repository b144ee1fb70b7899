import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

/** Also a paused one is left alone: nobody knows who waits for it to go on. */
export const vmNotRunning: Rule<SourceView, 'vm-not-running'> = {
  modes: liveOnly,
  outcomes: {
    'vm-not-running': {
      level: 'critical',
      meaning: 'The VM does not run, so it cannot move live.',
      remedy: 'Start or resume it (virsh start, virsh resume), or move it cold.',
    },
  },
  judge: ({ vm: { state, name, host } }) =>
    state === 'running'
      ? []
      : [
          {
            code: 'vm-not-running',
            message: `${name} on ${host} is ${state}; only a running VM moves live`,
          },
        ],
};
