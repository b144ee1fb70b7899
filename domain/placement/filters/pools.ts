import { poolKind } from '../../disk-plan.ts';
import type { PlacementHost } from '../host.ts';
import type { PoolNeed, Question } from '../question.ts';
import type { FixedFilter } from './filter.ts';

/** Each pool of the disks stands, and can be written where they are copied to it. */
export const pools: FixedFilter = {
  name: 'pools',
  passes: (host, question) =>
    question.poolNeeds.every((need) => faultOf(need, host, question) === undefined),
  reason: (host, question) =>
    question.poolNeeds
      .map((need) => faultOf(need, host, question))
      .filter((fault) => fault !== undefined)
      .join('; '),
};

function faultOf(need: PoolNeed, host: PlacementHost, { vm }: Question): string | undefined {
  if (need.pool === '') return `no pool is named for the disks of ${vm.name}`;
  const pool = host.pools.find(({ name }) => name === need.pool);
  if (pool === undefined) return `${host.name} has no pool ${need.pool}`;
  if (!pool.active) return `pool ${pool.name} of ${host.name} is not active`;
  if (!need.copies || poolKind(pool) !== undefined) return undefined;
  return `pool ${pool.name} of ${host.name} is of type ${pool.type}, which no copy can write`;
}
