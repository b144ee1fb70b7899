import { memoryOf } from '../../../../import/shape.ts';
import { mib } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'too-little-memory' | 'memory-tight';

export const memory: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'too-little-memory': {
      level: 'critical',
      meaning: 'The target has less memory in all than the VM would have.',
      remedy: 'Choose a bigger host, or give it less: --memory.',
    },
    'memory-tight': {
      level: 'warning',
      meaning: 'The target has less memory free now than the VM would have.',
      remedy: 'It may still start, by swapping; free memory there if it does not.',
    },
  },
  judge: ({ vm, request, target }) => {
    const wanted = memoryOf(vm, request.shape);
    if (wanted > target.memoryBytes) {
      const message = `${vm.name} would have ${mib(wanted)} of memory, ${target.name} has ${mib(target.memoryBytes)} in all`;
      return [{ code: 'too-little-memory', message }];
    }
    if (wanted <= target.freeMemoryBytes) return [];
    const message = `${target.name} has ${mib(target.freeMemoryBytes)} of memory free now; ${vm.name} would have ${mib(wanted)}`;
    return [{ code: 'memory-tight', message }];
  },
};
