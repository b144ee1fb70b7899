import { firstOf } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { RequestView } from '../../views.ts';
import { quoted } from '../../words.ts';

export const diskUnknown: ForeignRule<RequestView, 'disk-unknown'> = {
  modes: everyMode,
  outcomes: {
    'disk-unknown': {
      level: 'critical',
      meaning: 'The request names a disk that the VM does not have.',
      remedy: 'Correct --disks or the map of storage.',
    },
  },
  judge: ({ vm, request: { shape, storage } }) => {
    const keys = vm.disks.map(({ key }) => key);
    const named = new Set([...(shape.disks ?? []), ...Object.keys(storage.byDisk ?? {})]);
    return [...named]
      .filter((key) => !keys.includes(key))
      .map((key) => ({
        code: 'disk-unknown',
        message: `${vm.name} has no disk ${quoted(key)}; it has: ${firstOf(keys)}`,
      }));
  },
};
