import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';

export const vmTwice: ForeignRule<BatchView, 'vm-twice'> = {
  modes: everyMode,
  outcomes: {
    'vm-twice': {
      level: 'critical',
      meaning: 'One VM is asked for twice, perhaps by its name and by its ID.',
      remedy: 'Name it once.',
    },
  },
  judge: ({ entries }) => {
    const seen = new Set<string>();
    const told = new Set<string>();
    return entries.flatMap(({ vm, request: { provider } }): Finding<'vm-twice'>[] => {
      const key = JSON.stringify([provider, vm.id]);
      if (!seen.has(key)) {
        seen.add(key);
        return [];
      }
      if (told.has(key)) return [];
      told.add(key);
      return [{ code: 'vm-twice', message: `${vm.name} (${vm.id}) is asked for twice` }];
    });
  },
};
