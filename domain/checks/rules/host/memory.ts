import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { mib } from '../../words.ts';

export const memory: Rule<TargetView, 'too-little-memory' | 'memory-tight'> = {
  modes: everyMode,
  outcomes: {
    'too-little-memory': {
      level: 'critical',
      meaning: 'The target has less memory in all than the VM.',
      remedy: 'Choose a bigger host, or give the VM less memory.',
    },
    'memory-tight': {
      level: 'warning',
      meaning: 'The target has less memory free now than the VM has.',
      remedy: 'It may still start, by swapping; free memory there if it does not.',
    },
  },
  judge: ({ vm, target }) => {
    if (vm.memoryBytes > target.memoryBytes) {
      return [
        {
          code: 'too-little-memory',
          message: `${vm.name} has ${mib(vm.memoryBytes)} of memory, ${target.name} only ${mib(target.memoryBytes)} in all`,
        },
      ];
    }
    if (vm.memoryBytes <= target.freeMemoryBytes) return [];
    return [
      {
        code: 'memory-tight',
        message: `${target.name} has ${mib(target.freeMemoryBytes)} of memory free now; ${vm.name} wants ${mib(vm.memoryBytes)}`,
      },
    ];
  },
};
