import { cpusOf, leastMemoryBytes, memoryOf } from '../../../../import/shape.ts';
import { mib } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import type { Finding } from '../../../rule.ts';

type Code = 'cpus-unfit' | 'memory-unfit';

export const sizeUnfit: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'cpus-unfit': {
      level: 'critical',
      meaning: 'The VM would have no CPU: the source tells none, or the request asks for none.',
      remedy: 'Say how many: --cpus.',
    },
    'memory-unfit': {
      level: 'critical',
      meaning: `The VM would have less than ${mib(leastMemoryBytes)} of memory: the source tells no more, or the request asks for no more.`,
      remedy: 'Say how much: --memory.',
    },
  },
  judge: ({ vm, request }) => {
    const found: Finding<Code>[] = [];
    const cpus = cpusOf(vm, request.shape);
    const memoryBytes = memoryOf(vm, request.shape);
    if (!(Number.isSafeInteger(cpus) && cpus > 0))
      found.push({ code: 'cpus-unfit', message: `${vm.name} would have ${cpus} CPUs` });
    if (!(memoryBytes >= leastMemoryBytes))
      found.push({
        code: 'memory-unfit',
        message: `${vm.name} would have ${mib(Math.max(0, memoryBytes))} of memory`,
      });
    return found;
  },
};
