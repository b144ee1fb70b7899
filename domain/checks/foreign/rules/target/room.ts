import { placedDisks, takenBytes } from '../../../../import/disks.ts';
import { marginBytes } from '../../../../import/limits.ts';
import type { PoolFacts } from '../../../../host.ts';
import { roomUnknown, tellsSize } from '../../../room-unknown.ts';
import { mib } from '../../../words.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'room-unknown' | 'disk-larger-than-pool' | 'too-little-room' | 'thin';

/** Reckoned over all disks that go to a pool. */
export const room: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'room-unknown': roomUnknown,
    'disk-larger-than-pool': {
      level: 'critical',
      meaning: 'A disk is larger than all of the pool where it would go.',
      remedy: 'Name a larger pool with --pool or --map-storage.',
    },
    'too-little-room': {
      level: 'critical',
      meaning: 'A pool of the target has less room than the disks that go there need.',
      remedy: 'Free room there, or name another pool with --pool or --map-storage.',
    },
    thin: {
      level: 'warning',
      meaning:
        'A pool of the target has room for the data, but not for the disks once they are full.',
      remedy: 'Watch the pool as the guest writes.',
    },
  },
  judge: ({ vm, request, target }) => {
    const found: Finding<Code>[] = [];
    const needs = new Map<PoolFacts, { taken: number; capacity: number }>();
    for (const { disk, pool, kind } of placedDisks(vm, request, target)) {
      if (disk.capacityBytes > pool.capacityBytes && tellsSize(pool)) {
        found.push({
          code: 'disk-larger-than-pool',
          message: `disk ${disk.key} of ${vm.name} has ${mib(disk.capacityBytes)}, all of pool ${pool.name} of ${target.name} ${mib(pool.capacityBytes)}`,
        });
        continue;
      }
      const need = needs.get(pool) ?? { taken: 0, capacity: 0 };
      need.taken += takenBytes(disk, kind);
      need.capacity += disk.capacityBytes;
      needs.set(pool, need);
    }
    for (const [pool, { taken, capacity }] of needs) {
      if (!tellsSize(pool)) {
        const message = `pool ${pool.name} of ${target.name} does not tell how large it is; the disks of ${vm.name} need ${mib(taken)} there now and ${mib(capacity)} once they are full`;
        found.push({ code: 'room-unknown', message });
        continue;
      }
      const has = `pool ${pool.name} of ${target.name} has ${mib(pool.availableBytes)} free`;
      if (taken + marginBytes > pool.availableBytes) {
        const message = `${has}; the disks of ${vm.name} need ${mib(taken + marginBytes)}`;
        found.push({ code: 'too-little-room', message });
      } else if (capacity > pool.availableBytes) {
        const message = `${has}; the disks of ${vm.name} need ${mib(taken)} now and ${mib(capacity)} once they are full`;
        found.push({ code: 'thin', message });
      }
    }
    return found;
  },
};
