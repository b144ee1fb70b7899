import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** As for a move: no proof that libvirt asks the guard, no cutover. */
export const guardNotLive: ForeignRule<TargetView, 'guard-not-live'> = {
  modes: everyMode,
  outcomes: {
    'guard-not-live': {
      level: 'critical',
      meaning:
        'libvirt on the target did not ask the guard when a probe was started: nothing would keep the VM from being started before it is whole.',
      remedy:
        'Run `vmferry host` as root there (it installs the libvirt hook) and restart libvirtd once, so that it sees the hook.',
    },
  },
  judge: ({ target: { name, guard } }) =>
    guard.hookLive
      ? []
      : [{ code: 'guard-not-live', message: `the guard of ${name} is not live: ${guard.detail}` }],
};
