import { factsOf } from '../../quick/cli/fake-client.ts';
import type { ImportWorld, PlayedVerbs } from '../../quick/import/fake-import.ts';

/** What a host's worker does in imports, in whatever world a test has put there; its one pool is `default`. */
export function playedHost(name: string, world: () => ImportWorld): PlayedVerbs {
  const verbs = Object.keys(world().activities()).map((verb) => [
    verb,
    (input: never) => world().activities()[verb]?.(input),
  ]);
  const { pools, ...rest } = factsOf(name);
  const facts = {
    ...rest,
    pools: pools.map((pool) => ({ ...pool, name: 'default' })),
    bridges: ['br0'],
  };
  return { ...Object.fromEntries(verbs), hostFacts: () => Promise.resolve(facts) } as PlayedVerbs;
}
