import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';
import { firstOf } from '../../words.ts';

/** libvirt 9.0: "cannot migrate domain with 1 snapshots", internal and external ones alike. */
export const liveSnapshots: Rule<SourceView, 'live-snapshots'> = {
  modes: liveOnly,
  outcomes: {
    'live-snapshots': {
      level: 'critical',
      meaning: 'The VM has snapshots, with which libvirt migrates none.',
      remedy:
        'Delete them (virsh snapshot-delete), or move it cold: on shared disks they move too.',
    },
  },
  judge: ({ vm: { snapshots, name, host } }) =>
    snapshots.length === 0
      ? []
      : [
          {
            code: 'live-snapshots',
            message: `${name} on ${host} has snapshots (${firstOf(snapshots)}), with which libvirt moves no running VM`,
            remedy: `Delete them (virsh snapshot-delete ${name} NAME), or move it cold: on shared disks they move too.`,
          },
        ],
};
