import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

/**
 * A move knows a VM by its stored definition: a disk that only the running guest has would be neither checked nor
 * guarded, and yet libvirt would move it (seen with 9.0).
 */
export const liveDefinitionDiffers: Rule<SourceView, 'live-definition-differs'> = {
  modes: liveOnly,
  outcomes: {
    'live-definition-differs': {
      level: 'critical',
      meaning:
        'The running guest has disks, interfaces or devices that its stored definition has not, or has otherwise.',
      remedy:
        'Store the change (virsh attach-disk, attach-interface, ... with --config) or take it back; else move it cold, which starts it by the definition.',
    },
  },
  judge: ({ vm }) =>
    (vm.running?.drift ?? []).map((clause) => ({
      code: 'live-definition-differs',
      message: `${vm.name} runs on ${vm.host} otherwise than it is defined: ${clause}`,
    })),
};
