import { firstOf } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { RequestView } from '../../views.ts';
import { quoted } from '../../words.ts';

export const nicUnfit: ForeignRule<RequestView, 'nic-unfit'> = {
  modes: everyMode,
  outcomes: {
    'nic-unfit': {
      level: 'critical',
      meaning: 'The request names a network card that the VM does not have, or one twice.',
      remedy: 'Correct --nics; `vmferry inspect` shows the keys.',
    },
  },
  judge: ({ vm, request: { shape } }) => {
    const keys = vm.nics.map(({ key }) => key);
    const named = (shape.nics ?? []).map(({ key }) => key);
    return [...new Set(named)].flatMap((key) => {
      if (!keys.includes(key)) {
        const message = `${vm.name} has no network card ${quoted(key)}; it has: ${firstOf(keys)}`;
        return [{ code: 'nic-unfit' as const, message }];
      }
      if (named.indexOf(key) === named.lastIndexOf(key)) return [];
      const message = `card ${quoted(key)} of ${vm.name} is named twice`;
      return [{ code: 'nic-unfit' as const, message }];
    });
  },
};
