import { expectedUse } from '../../../../import/use.ts';
import type { UseLine } from '../../../../import/use.ts';
import { mib } from '../../../words.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';

type Code = 'batch-too-little-room' | 'batch-memory-tight' | 'batch-too-many-vcpus';

/** Together; what one VM alone does not find is told by its own concerns too. */
export const batchRoom: ForeignRule<BatchView, Code> = {
  modes: everyMode,
  outcomes: {
    'batch-too-little-room': {
      level: 'critical',
      meaning: 'A pool of the target has less room than all disks of the request that go there.',
      remedy: 'Ask for fewer VMs, or for another pool or target for some of them.',
    },
    'batch-memory-tight': {
      level: 'warning',
      meaning:
        'The target has less memory free than all VMs of the request that are started there.',
      remedy: 'Ask for fewer VMs, or for another target for some of them.',
    },
    'batch-too-many-vcpus': {
      level: 'warning',
      meaning: 'The VMs of the request have more CPUs than may run beside what runs on the target.',
      remedy: 'Ask for fewer VMs, or for another target for some of them.',
    },
  },
  judge: ({ entries, targets }) => {
    const planned = entries.flatMap(({ vm, request, plan }) =>
      plan === undefined ? [] : [{ vm, request, plan }],
    );
    return expectedUse(planned, targets).flatMap((line) => findingOf(line));
  },
};

function findingOf({ host, what, of, wanted, available = 0, fits }: UseLine): Finding<Code>[] {
  if (fits !== false) return [];
  switch (what) {
    case 'storage': {
      const message = `all disks of the request need ${mib(wanted)} in pool ${of} of ${host}, which has ${mib(available)} free`;
      return [{ code: 'batch-too-little-room', message, host }];
    }
    case 'memory': {
      const message = `all VMs of the request need ${mib(wanted)} of memory on ${host}, which has ${mib(available)} free`;
      return [{ code: 'batch-memory-tight', message, host }];
    }
    case 'cpus': {
      const message = `all VMs of the request have ${wanted} CPUs on ${host}, which may take ${available} more`;
      return [{ code: 'batch-too-many-vcpus', message, host }];
    }
    case 'addresses':
      return [];
  }
}
