import { cpusOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** As placement has it: no VM wider than its host, for its own CPUs would wait for each other. */
export const vcpus: ForeignRule<TargetView, 'too-many-vcpus'> = {
  modes: everyMode,
  outcomes: {
    'too-many-vcpus': {
      level: 'critical',
      meaning: 'The VM would have more CPUs than the target.',
      remedy: 'Choose a bigger host, or give it fewer: --cpus.',
    },
  },
  judge: ({ vm, request, target }) => {
    const cpus = cpusOf(vm, request.shape);
    return cpus > target.cpus
      ? [
          {
            code: 'too-many-vcpus',
            message: `${vm.name} would have ${cpus} CPUs, ${target.name} has ${target.cpus}`,
          },
        ]
      : [];
  },
};
