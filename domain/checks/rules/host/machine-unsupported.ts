import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const machineUnsupported: Rule<TargetView, 'machine-unsupported'> = {
  modes: everyMode,
  outcomes: {
    'machine-unsupported': {
      level: 'critical',
      meaning:
        'The target has no emulator for the domain type, architecture and machine of the VM.',
      remedy:
        'Install the emulator of that architecture there, or change <type machine=...> of the VM.',
    },
  },
  judge: ({ vm, target }) => {
    const machine = `${vm.domainType}/${vm.arch}/${vm.machine}`;
    if (vm.machine === '' || target.machines.includes(machine)) return [];
    return [
      {
        code: 'machine-unsupported',
        message: `${target.name} cannot run ${vm.name}: it has no emulator for ${machine}`,
        remedy: `Install the emulator of that architecture there, or change <type machine=...> of ${vm.name}.`,
      },
    ];
  },
};
