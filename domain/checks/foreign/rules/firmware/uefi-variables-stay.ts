import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'uefi-variables-stay' | 'uefi-path-unsure';

export const uefiVariablesStay: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'uefi-variables-stay': {
      level: 'information',
      meaning:
        'The UEFI variables stay at the source. The guest starts by the fallback path, which the conversion sees to.',
      remedy: 'Nothing to do; entries of the boot menu other than the first are made anew by hand.',
    },
    'uefi-path-unsure': {
      level: 'warning',
      meaning:
        'The UEFI variables stay at the source, and nobody sees to the fallback path of a guest that is not converted: without it the guest ends in the UEFI shell.',
      remedy:
        'See at the source that its EFI partition has EFI/BOOT/BOOTX64.EFI (Windows does; on Linux: grub-install --removable, or shim’s fallback).',
    },
  },
  judge: ({ vm, request }) => {
    if (vm.firmware !== 'uefi') return [];
    const message = `${vm.name} starts by UEFI, and its boot entries stay at the source`;
    return [
      { code: request.convert === 'yes' ? 'uefi-variables-stay' : 'uefi-path-unsure', message },
    ];
  },
};
