import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** libvirt's own comparison of the guest's CPU, feature by feature, with what the target's hypervisor offers. */
export const cpuIncompatible: Rule<TargetView, 'cpu-incompatible' | 'cpu-not-compared'> = {
  modes: liveOnly,
  skip: 'cpu',
  outcomes: {
    'cpu-incompatible': {
      level: 'critical',
      meaning: 'The target’s hypervisor cannot offer the CPU that the running guest has.',
      remedy:
        'Choose a host with such a CPU, give the VM a CPU model that both hosts have and start it anew, or move it cold.',
    },
    'cpu-not-compared': {
      level: 'warning',
      meaning:
        'libvirt on the target cannot compare the guest’s CPU; it refuses the guest later if it has to.',
      remedy: 'See that both hosts have the same CPU.',
    },
  },
  judge: ({ vm, target, cpu }) => {
    if (cpu === undefined || cpu.verdict === 'fits') return [];
    return [
      cpu.verdict === 'incompatible'
        ? {
            code: 'cpu-incompatible',
            message: `${target.name} cannot offer the CPU that ${vm.name} has: ${cpu.detail}`,
          }
        : {
            code: 'cpu-not-compared',
            message: `libvirt on ${target.name} cannot compare the CPU of ${vm.name}: ${cpu.detail}`,
          },
    ];
  },
};
