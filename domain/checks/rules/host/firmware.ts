import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { listed } from '../../words.ts';

/** libvirt's choice of UEFI firmware goes by what is installed: another host may lack it, or choose otherwise. */
export const firmware: Rule<TargetView, 'firmware-missing' | 'firmware-differs'> = {
  modes: everyMode,
  outcomes: {
    'firmware-missing': {
      level: 'critical',
      meaning: 'libvirt on the target has no UEFI firmware to choose for the VM.',
      remedy:
        'Install the firmware of the source there (package ovmf or edk2), with its descriptors in /usr/share/qemu/firmware.',
    },
    'firmware-differs': {
      level: 'information',
      meaning: 'libvirt chooses the UEFI firmware of the VM from other files on the target.',
      remedy: 'If the VM has to keep the very file, name it in the definition’s <loader>.',
    },
  },
  judge: ({ vm, target, missingFiles, efiLoaders }) => {
    if (vm.firmware === undefined || efiLoaders === undefined) return [];
    const { loader, loaders } = vm.firmware;
    if (efiLoaders.length === 0 || (loader !== '' && !efiLoaders.includes(loader))) {
      // A file that is not there at all is named as such.
      if (missingFiles.includes(loader)) return [];
      return [
        {
          code: 'firmware-missing',
          message: `libvirt on ${target.name} has no UEFI firmware for ${vm.name}${loader === '' ? '' : ` that is ${loader}`}; for ${vm.machine} it offers: ${listed(efiLoaders)}`,
          remedy: `Install the firmware of ${vm.host} there (package ovmf or edk2), with its descriptors in /usr/share/qemu/firmware.`,
        },
      ];
    }
    if (loader !== '' || loaders.join() === efiLoaders.join()) return [];
    return [
      {
        code: 'firmware-differs',
        message: `libvirt chooses the UEFI firmware of ${vm.name}: on ${vm.host} from ${listed(loaders)}, on ${target.name} from ${listed(efiLoaders)}`,
        remedy: `If ${vm.name} has to keep the very file, put it on both hosts and name it in the definition's <loader>.`,
      },
    ];
  },
};
