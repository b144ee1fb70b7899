import fc from 'fast-check';
import { expect, it } from 'vitest';
import { choose, explain } from '../../../domain/placement/choose.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import type { Fleet } from '../../../domain/placement/fleet.ts';
import type { PlacementHost } from '../../../domain/placement/host.ts';
import { release, reserve } from '../../../domain/placement/reserve.ts';
import type { PlacementVm } from '../../../domain/placement/vm.ts';
import { gibibyte, host, pool, vm } from './fleets.ts';

const small = (max: number) => fc.integer({ min: 0, max });
const group = fc.constantFrom('red', 'blue');

/** Hosts that differ in everything that a filter or a weigher looks at, so tight that VMs are refused often. */
const anyHost = fc
  .record({
    enabled: fc.oneof({ weight: 6, arbitrary: fc.constant(true) }, fc.boolean()),
    draining: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.boolean()),
    gold: fc.boolean(),
    cpus: fc.integer({ min: 1, max: 8 }),
    freeMemory: small(24),
    poolRoom: small(60),
    hasFast: fc.boolean(),
    store: fc.constantFrom('nfs', undefined),
    runningVms: small(4),
    limit: fc.integer({ min: 1, max: 5 }),
    groups: fc.dictionary(group, fc.integer({ min: 1, max: 2 })),
  })
  .map((drawn): Omit<PlacementHost, 'name' | 'hostUuid'> => {
    const store = drawn.store === undefined ? {} : { store: drawn.store };
    const room = pool({ availableBytes: drawn.poolRoom * gibibyte, ...store });
    return host('', {
      enabled: drawn.enabled,
      draining: drawn.draining,
      labels: drawn.gold ? { tier: 'gold' } : {},
      cpus: drawn.cpus,
      vcpuRatio: 2,
      freeMemoryBytes: drawn.freeMemory * gibibyte,
      pools: drawn.hasFast ? [room, { ...room, name: 'fast' }] : [room],
      runningVms: drawn.runningVms,
      runningVcpus: drawn.runningVms,
      movesIn: { underWay: 0, limit: drawn.limit },
      groups: drawn.groups,
    });
  });
const anyHosts = fc
  .array(anyHost, { minLength: 1, maxLength: 7 })
  .map((drawn) =>
    drawn.map((one, index) => ({ ...one, name: `host-${index}`, hostUuid: `uuid-${index}` })),
  );

const anyVm = fc
  .record({
    vcpus: fc.integer({ min: 1, max: 3 }),
    memory: small(6),
    disks: fc.array(
      fc.record({
        bytes: small(24).map((size) => size * gibibyte),
        pool: fc.constantFrom('default', 'default', 'fast'),
        shared: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.boolean()),
      }),
      { maxLength: 3 },
    ),
    gold: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.boolean()),
    from: fc.option(small(6), { nil: undefined }),
    rules: fc.array(
      fc.record({
        group,
        kind: fc.constantFrom('affinity' as const, 'anti-affinity' as const),
        strength: fc.constantFrom('hard' as const, 'soft' as const),
      }),
      { maxLength: 2 },
    ),
  })
  .map((drawn): PlacementVm =>
    vm({
      vcpus: drawn.vcpus,
      memoryBytes: drawn.memory * gibibyte,
      disks: drawn.disks.map((disk, index) => ({ ...disk, name: `vd${index}` })),
      requiredLabels: drawn.gold ? { tier: 'gold' } : {},
      ...(drawn.from !== undefined && { host: `host-${drawn.from}` }),
      rules: drawn.rules,
    }),
  );

/** VMs to place one after another; some moves end in between and give their room back. */
const anyOrders = fc.array(
  fc.record({ vm: anyVm, ends: fc.option(small(15), { nil: undefined, freq: 3 }) }),
  { maxLength: 16 },
);

interface Order {
  vm: PlacementVm;
  /** The number of an earlier move that ends before this VM is placed. */
  ends: number | undefined;
}

interface Step {
  before: Fleet;
  after: Fleet;
  vm: PlacementVm;
  chosen: string | undefined;
}

function play(hosts: readonly PlacementHost[], orders: readonly Order[]): Step[] {
  let fleet = fleetOf(hosts);
  return orders.map(({ vm: asked, ends }, index) => {
    if (ends !== undefined) fleet = release(fleet, `move-${ends}`);
    const before = fleet;
    const chosen = choose(fleet, asked);
    if (chosen !== undefined)
      fleet = reserve(fleet, asked, { moveId: `move-${index}`, host: chosen });
    return { before, after: fleet, vm: asked, chosen };
  });
}

const runs = { numRuns: 120 };
const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

it('never promises more than there is: memory, vCPUs, moves, pools, and stores over all hosts', () => {
  let placed = 0;
  fc.assert(
    fc.property(anyHosts, anyOrders, (hosts, orders) => {
      for (const { after, chosen } of play(hosts, orders)) {
        if (chosen !== undefined) placed += 1;
        const inStore: { bytes: number; room: number }[] = [];
        after.hosts.forEach((one, at) => {
          const promised = after.reservations[at]!;
          // Counted from what was promised, not from the columns that the choice was made by.
          const memory = sum(promised.map(({ memoryBytes }) => memoryBytes));
          const vcpus = sum(promised.map((each) => each.vcpus));
          expect(memory).toBeLessThanOrEqual(one.freeMemoryBytes);
          expect(one.runningVcpus + vcpus).toBeLessThanOrEqual(
            Math.max(one.runningVcpus, one.cpus * one.vcpuRatio),
          );
          expect(promised.length).toBeLessThanOrEqual(one.movesIn.limit);
          for (const { name, store, availableBytes } of one.pools) {
            const bytes = sum(
              promised.flatMap(({ pools }) =>
                pools.filter((each) => each.pool === name).map((each) => each.bytes),
              ),
            );
            if (store === undefined) expect(bytes).toBeLessThanOrEqual(availableBytes);
            else inStore.push({ bytes, room: availableBytes });
          }
        });
        // Each host reports the store's room as it saw it; none of its own may be exceeded by what it was given.
        const most = Math.max(0, ...inStore.map(({ room }) => room));
        expect(sum(inStore.map(({ bytes }) => bytes))).toBeLessThanOrEqual(most);
      }
    }),
    runs,
  );
  // A fleet that refuses everything would prove nothing.
  expect(placed).toBeGreaterThan(80);
});

it('never chooses a host that its explanation refuses, and chooses one whenever one passes', () => {
  fc.assert(
    fc.property(anyHosts, anyOrders, (hosts, orders) => {
      for (const { before, vm: asked, chosen } of play(hosts, orders)) {
        const explained = explain(before, asked);
        expect(chosen).toBe(explained.chosen);
        expect(explained.hosts).toHaveLength(hosts.length);
        const verdict = explained.hosts.find((one) => one.host === chosen);
        if (chosen === undefined) expect(explained.hosts.every((one) => !one.passed)).toBe(true);
        else expect(verdict?.passed).toBe(true);
      }
    }),
    runs,
  );
});

it('never puts a VM on its source, nor beside one that it has to stay away from', () => {
  fc.assert(
    fc.property(anyHosts, anyOrders, (hosts, orders) => {
      for (const { before, vm: asked, chosen } of play(hosts, orders)) {
        if (chosen === undefined) continue;
        expect(chosen).not.toBe(asked.host);
        const at = before.indexOf.get(chosen)!;
        const there = new Set([
          ...Object.keys(before.hosts[at]!.groups),
          ...before.reservations[at]!.flatMap(({ groups }) => groups),
        ]);
        for (const rule of asked.rules) {
          const keepsAway = rule.kind === 'anti-affinity' && rule.strength === 'hard';
          if (keepsAway) expect(there).not.toContain(rule.group);
        }
      }
    }),
    runs,
  );
});

it('chooses the same, with the same reasons, in whatever order the hosts are given', () => {
  const shuffled = anyHosts.chain((hosts) =>
    fc.tuple(fc.constant(hosts), fc.shuffledSubarray(hosts, { minLength: hosts.length })),
  );
  fc.assert(
    fc.property(shuffled, anyVm, ([hosts, others], asked) => {
      expect(explain(fleetOf(others), asked)).toEqual(explain(fleetOf(hosts), asked));
      expect(choose(fleetOf(others), asked)).toBe(choose(fleetOf(hosts), asked));
    }),
    runs,
  );
});

it('gives one with the fewest VMs, unless a wish comes before', () => {
  fc.assert(
    fc.property(anyHosts, anyVm, (hosts, asked) => {
      const { hosts: verdicts, chosen } = explain(fleetOf(hosts), { ...asked, rules: [] });
      const vmsOf = (name: string | undefined) =>
        hosts.find((one) => one.name === name)?.runningVms;
      const passing = verdicts.filter(({ passed }) => passed).map((verdict) => verdict.host);
      if (passing.length === 0) return;
      expect(vmsOf(chosen)).toBe(Math.min(...passing.map((name) => vmsOf(name)!)));
    }),
    runs,
  );
});

it('a fleet that was changed step by step is the one that its hosts and reservations give at once', () => {
  fc.assert(
    fc.property(anyHosts, anyOrders, (hosts, orders) => {
      const last = play(hosts, orders).at(-1)?.after ?? fleetOf(hosts);
      const anew = fleetOf(
        last.hosts.map((one, at) => ({
          ...one,
          reservations: last.reservations[at]!,
          movesIn: { ...one.movesIn, underWay: last.reservations[at]!.length },
        })),
      );
      expect(anew.columns).toEqual(last.columns);
      expect(anew.pools).toEqual(last.pools);
      for (const { vm: asked } of orders) {
        const { hosts: verdicts, chosen } = explain(last, asked);
        expect(explain(anew, asked).hosts).toEqual(verdicts);
        expect(choose(anew, asked)).toBe(chosen);
      }
    }),
    { numRuns: 80 },
  );
});
