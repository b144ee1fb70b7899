import { secureBootOf, tpmOf } from '../../../../import/shape.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'firmware-missing' | 'secure-boot-missing' | 'tpm-missing';

export const firmwareMissing: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'firmware-missing': {
      level: 'critical',
      meaning: 'libvirt on the target has no UEFI firmware to choose for the VM.',
      remedy:
        'Install it there (package ovmf or edk2), with its descriptors in /usr/share/qemu/firmware.',
    },
    'secure-boot-missing': {
      level: 'critical',
      meaning: 'The target has no UEFI firmware with Secure Boot, which the VM would have.',
      remedy: 'Install one there, or bring it without: --no-secure-boot.',
    },
    'tpm-missing': {
      level: 'critical',
      meaning: 'The target cannot emulate a TPM, which the VM would have.',
      remedy: 'Install swtpm there, or bring it without: --no-tpm.',
    },
  },
  judge: ({ vm, request, target, offer }) => {
    if (offer === undefined) return [];
    const found: Finding<Code>[] = [];
    if (vm.firmware === 'uefi' && offer.efiLoaders.length === 0) {
      found.push({
        code: 'firmware-missing',
        message: `${vm.name} starts by UEFI, for which ${target.name} has no firmware`,
      });
    } else if (
      vm.firmware === 'uefi' &&
      secureBootOf(vm, request.shape) &&
      offer.secureBoot === false
    ) {
      found.push({
        code: 'secure-boot-missing',
        message: `${target.name} has no firmware with Secure Boot for ${vm.name}`,
      });
    }
    if (tpmOf(vm, request.shape) && offer.tpm === false) {
      found.push({
        code: 'tpm-missing',
        message: `${target.name} cannot emulate a TPM for ${vm.name}`,
      });
    }
    return found;
  },
};
