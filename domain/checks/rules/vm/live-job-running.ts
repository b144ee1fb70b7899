import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

/** libvirt 9.0: "domain has active block job". */
export const liveJobRunning: Rule<SourceView, 'live-job-running'> = {
  modes: liveOnly,
  outcomes: {
    'live-job-running': {
      level: 'critical',
      meaning:
        'libvirt works on the guest (a backup, a block job, another migration), and migrates none beside.',
      remedy: 'Wait for it, or end it: virsh domjobabort, virsh blockjob --abort.',
    },
  },
  judge: ({ vm }) =>
    (vm.running?.jobs ?? []).map((clause) => ({
      code: 'live-job-running',
      message: `${vm.name} on ${vm.host} cannot move live now: ${clause}`,
    })),
};
