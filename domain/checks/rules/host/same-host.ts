import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const sameHost: Rule<TargetView, 'same-host'> = {
  modes: everyMode,
  outcomes: {
    'same-host': {
      level: 'critical',
      meaning: 'Source and target have one host UUID: to libvirt they are the same machine.',
      remedy:
        'Name another host with --to. If they are two machines, give each libvirtd its own host_uuid.',
    },
  },
  judge: ({ vm, target, sourceHostUuid }) =>
    target.hostUuid !== sourceHostUuid
      ? []
      : [
          {
            code: 'same-host',
            message: `${vm.host} and ${target.name} are the same machine (host UUID ${sourceHostUuid})`,
          },
        ],
};
