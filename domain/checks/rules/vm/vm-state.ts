import { coldOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

/** One that has no definition has a rule of its own, and is not judged by its state. */
export const vmState: Rule<SourceView, 'vm-running' | 'vm-state'> = {
  modes: coldOnly,
  outcomes: {
    'vm-running': {
      level: 'critical',
      meaning: 'The VM runs, and the request forbids to stop it.',
      remedy: 'Shut it down yourself, or say --shutdown graceful or --shutdown force.',
    },
    'vm-state': {
      level: 'critical',
      meaning: 'The VM is neither running nor shut off.',
      remedy: 'Resume it (virsh resume) or stop it (virsh destroy) first.',
    },
  },
  judge: ({ vm: { persistent, state, name, host }, request }) => {
    if (!persistent || state === 'shut-off') return [];
    if (state !== 'running') {
      return [
        {
          code: 'vm-state',
          message: `${name} on ${host} is ${state}; a cold move starts from running or shut off`,
          remedy: `Resume it (virsh resume ${name}) or stop it (virsh destroy ${name}) first.`,
        },
      ];
    }
    if (request.shutdown !== 'refuse') return [];
    return [
      {
        code: 'vm-running',
        message: `${name} runs on ${host}, and --shutdown refuse forbids to stop it`,
      },
    ];
  },
};
