import { broughtDisks, diskFit, poolNameFor } from '../../../../import/disks.ts';
import { listed } from '../../../words.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'storage-unmapped' | 'pool-missing' | 'pool-unusable' | 'format-unfit';

export const poolUnfit: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'storage-unmapped': {
      level: 'critical',
      meaning: 'Nothing says which pool of the target a disk goes to.',
      remedy: 'Name one with --pool, or a pool for each disk with --map-storage.',
    },
    'pool-missing': {
      level: 'critical',
      meaning: 'The target has no pool of the name where a disk would go.',
      remedy: 'Name another one with --pool or --map-storage.',
    },
    'pool-unusable': {
      level: 'critical',
      meaning: 'The pool where a disk would go is not active, or of a type that cannot be written.',
      remedy: 'Start it, or name a pool of type dir, fs, netfs, logical or rbd.',
    },
    'format-unfit': {
      level: 'critical',
      meaning: 'A disk would be qcow2 in a pool that holds devices or RBD images.',
      remedy: 'Say --format raw.',
    },
  },
  judge: ({ vm, request, target }) =>
    broughtDisks(vm, request.shape).flatMap((disk): Finding<Code>[] => {
      const fit = diskFit(disk, request.storage, target);
      if (typeof fit !== 'string') return [];
      const what = `disk ${disk.key} of ${vm.name}`;
      const pool = poolNameFor(disk, request.storage);
      switch (fit) {
        case 'unmapped':
          return [{ code: 'storage-unmapped', message: `no pool is named for ${what}` }];
        case 'missing': {
          const pools = target.pools.map(({ name }) => name).sort();
          const message = `${target.name} has no pool ${pool} for ${what}; it has: ${listed(pools)}`;
          return [{ code: 'pool-missing', message }];
        }
        case 'unusable': {
          const message = `pool ${pool} of ${target.name} cannot take ${what}: it is not active, or of another kind`;
          return [{ code: 'pool-unusable', message }];
        }
        case 'format-unfit': {
          const message = `pool ${pool} of ${target.name} holds raw volumes only; ${what} would be ${request.storage.format}`;
          return [{ code: 'format-unfit', message }];
        }
      }
    }),
};
