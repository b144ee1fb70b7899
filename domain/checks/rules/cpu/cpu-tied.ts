import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

/** Not to be skipped: QEMU itself refuses such a guest. */
export const cpuTied: Rule<SourceView, 'cpu-tied'> = {
  modes: liveOnly,
  outcomes: {
    'cpu-tied': {
      level: 'critical',
      meaning:
        'The guest’s CPU can be taken over by no other host: migratable="off", or invtsc without a pinned frequency.',
      remedy: 'Change the definition’s <cpu> and start the VM anew, or move it cold.',
    },
  },
  judge: ({ vm }) =>
    (vm.running?.cpuTies ?? []).map((clause) => ({
      code: 'cpu-tied',
      message: `the CPU of ${vm.name} cannot leave ${vm.host}: ${clause}`,
    })),
};
