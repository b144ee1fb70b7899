import type { ForeignVm } from '../../../../foreign.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

const settings: Readonly<Record<ForeignVm['kind'], string>> = {
  vsphere:
    'hot-plug, NUMA and CPU affinity, reservations and shares, rules of DRS and HA, tags and attributes',
  kvm: 'CPU pinning and NUMA tuning, limits of disks and cards, hooks, watchdogs, autostart',
  ova: '',
};

/** Said whether the VM has them or not: nobody reads them. */
export const platformSettingsStay: ForeignRule<VmView, 'platform-settings-stay'> = {
  modes: everyMode,
  outcomes: {
    'platform-settings-stay': {
      level: 'information',
      meaning:
        'What a platform does around a VM stays behind: hot-plug, NUMA, shares, rules of its cluster (DRS, HA, affinity), tags.',
      remedy: 'Set on the target what is needed of it: rules of placement, virsh edit.',
    },
  },
  judge: ({ vm }) =>
    settings[vm.kind] === ''
      ? []
      : [
          {
            code: 'platform-settings-stay',
            message: `not taken over for ${vm.name}: ${settings[vm.kind]}`,
          },
        ],
};
