import type { PoolFacts } from '../../../host.ts';
import { copiedImages, fitOf } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';
import { roomUnknown, tellsSize } from '../../room-unknown.ts';
import { mib } from '../../words.ts';

type Code = 'room-unknown' | 'too-little-room' | 'thin';

/** Room that stays free beyond the data: journals, file system overhead. */
const reserveBytes = 64 * 1024 * 1024;

/** Reckoned over all disks that go to a pool. */
export const room: Rule<StorageView, Code> = {
  modes: everyMode,
  outcomes: {
    'room-unknown': roomUnknown,
    'too-little-room': {
      level: 'critical',
      meaning: 'A pool of the target has less room than the disks that go there need.',
      remedy: 'Free room there, or name another pool with --pool.',
    },
    thin: {
      level: 'warning',
      meaning:
        'A pool of the target has room for the data, but not for the disks once they are full.',
      remedy: 'Watch the pool as the guest writes.',
    },
  },
  judge: (view) => {
    const { target, request } = view;
    const needs = new Map<PoolFacts, { data: number; capacity: number }>();
    for (const disk of copiedImages(view)) {
      const fit = fitOf(disk, view);
      if (typeof fit === 'string') continue;
      const sum = needs.get(fit.pool) ?? { data: 0, capacity: 0 };
      const isThin = fit.kind !== 'block' && request.allocation !== 'full';
      sum.data += isThin ? Math.min(disk.allocationBytes, disk.capacityBytes) : disk.capacityBytes;
      sum.capacity += disk.capacityBytes;
      needs.set(fit.pool, sum);
    }
    return [...needs].flatMap(([pool, { data, capacity }]): Finding<Code>[] => {
      const needed = data + reserveBytes;
      if (!tellsSize(pool)) {
        return [
          {
            code: 'room-unknown',
            message: `pool ${pool.name} of ${target.name} does not tell how large it is; the disks need ${mib(needed)} there now and ${mib(capacity)} once they are full`,
          },
        ];
      }
      if (needed > pool.availableBytes) {
        return [
          {
            code: 'too-little-room',
            message: `pool ${pool.name} of ${target.name} has ${mib(pool.availableBytes)} free; the disks need ${mib(needed)}`,
          },
        ];
      }
      if (capacity <= pool.availableBytes) return [];
      return [
        {
          code: 'thin',
          message: `pool ${pool.name} of ${target.name} has room for the data (${mib(needed)}) but not for full disks (${mib(capacity)})`,
        },
      ];
    });
  },
};
