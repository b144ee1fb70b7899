import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** libvirt 9.0 lets it pass (seen): it compares the hosts' UUIDs, for which `same-host` is. */
export const hostnameClash: Rule<TargetView, 'hostname-clash'> = {
  modes: liveOnly,
  outcomes: {
    'hostname-clash': {
      level: 'warning',
      meaning:
        'Both hosts have one hostname: an address that libvirt makes of it leads to the wrong one of them.',
      remedy: 'Give each host a hostname of its own.',
    },
  },
  judge: ({ vm, target, sourceMachine }) =>
    sourceMachine === undefined || sourceMachine.hostname !== target.hostname
      ? []
      : [
          {
            code: 'hostname-clash',
            message: `${vm.host} and ${target.name} both have the hostname ${target.hostname}`,
          },
        ],
};
