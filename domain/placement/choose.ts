import { passingHosts, refusalsOf } from './filters/all.ts';
import type { Refusal } from './filters/all.ts';
import type { Fleet } from './fleet.ts';
import { questionOf } from './question.ts';
import type { Question } from './question.ts';
import type { PlacementVm } from './vm.ts';
import { startPolicies, weigherNames, weighers } from './weighers.ts';
import type { StartPolicy, WeigherName } from './weighers.ts';

export interface PlacementWishes {
  /** `fewest-vms` by default. */
  policy?: StartPolicy;
  /** Wins if it passes the filters. */
  preferHost?: string;
}

export interface Points {
  weigher: WeigherName;
  /** From 0 to the weight that the policy gives the weigher. */
  points: number;
  /** What was measured. */
  reason: string;
}

/** What was found of one host: why it is refused, or what speaks for it. */
export type HostVerdict =
  | { host: string; passed: false; refusals: Refusal[] }
  | { host: string; passed: true; points: Points[]; total: number };

/** A choice that explains itself. */
export interface PlacementResult {
  vm: string;
  policy: StartPolicy;
  /** Absent if no host may take the VM. */
  chosen?: string;
  /** Every host: those that pass from the best on, then the refused by name. */
  hosts: HostVerdict[];
}

const defaultPolicy: StartPolicy = 'fewest-vms';

/**
 * The best host for a VM, or undefined if none may take it. Of equal hosts the first by name. Costs little enough to be
 * asked ten thousand times; `explain` gives the same answer with its reasons. Throws a permanent `host-unknown`.
 */
export function choose(
  fleet: Fleet,
  vm: PlacementVm,
  { policy = defaultPolicy, preferHost }: PlacementWishes = {},
): string | undefined {
  const question = questionOf(fleet, vm, preferHost);
  const passing = passingHosts(question);
  const totals = new Float64Array(passing.length);
  for (const name of weigherNames) {
    if (weighers[name].applies(question)) {
      addTo(totals, pointsOf(name, { passing, question, policy }));
    }
  }
  let best = 0;
  // Hosts are sorted by name, so that only a greater total takes the place of an earlier one.
  for (let at = 1; at < totals.length; at += 1) {
    if ((totals[at] ?? 0) > (totals[best] ?? 0)) best = at;
  }
  return fleet.hosts[passing[best] ?? -1]?.name;
}

/** The same choice as `choose`, with the reasons for and against every host. Throws a permanent `host-unknown`. */
export function explain(
  fleet: Fleet,
  vm: PlacementVm,
  { policy = defaultPolicy, preferHost }: PlacementWishes = {},
): PlacementResult {
  const question = questionOf(fleet, vm, preferHost);
  // Found here without what the fleet remembers, so that the two ways to a choice check each other.
  const refusals = fleet.hosts.map((_, at) => refusalsOf(at, question));
  const passing = refusals.flatMap((found, at) => (found.length === 0 ? [at] : []));
  const totals = new Float64Array(passing.length);
  const applying = weigherNames.filter((name) => weighers[name].applies(question));
  const columns = applying.map((weigher) => {
    const points = pointsOf(weigher, { passing, question, policy });
    addTo(totals, points);
    return { weigher, points };
  });
  const passed = passing.map((at, index) => ({
    host: fleet.hosts[at]?.name ?? '',
    passed: true as const,
    points: columns.map(({ weigher, points }) => ({
      weigher,
      points: points[index] ?? 0,
      reason: weighers[weigher].reason(at, question),
    })),
    total: totals[index] ?? 0,
  }));
  // A stable sort: equal hosts stay in the order of their names.
  passed.sort((a, b) => b.total - a.total);
  const refused = fleet.hosts.flatMap(({ name }, at): HostVerdict[] => {
    const found = refusals[at] ?? [];
    return found.length === 0 ? [] : [{ host: name, passed: false, refusals: found }];
  });
  const chosen = passed[0]?.host;
  return {
    vm: vm.name,
    policy,
    ...(chosen !== undefined && { chosen }),
    hosts: [...passed, ...refused],
  };
}

interface Compared {
  passing: readonly number[];
  question: Question;
  policy: StartPolicy;
}

/** What a weigher gives each host: the best gets its whole weight, the worst nothing; nobody anything if all are equal. */
function pointsOf(name: WeigherName, { passing, question, policy }: Compared): Float64Array {
  const weight = startPolicies[policy][name];
  const points = new Float64Array(passing.length);
  weighers[name].measure(passing, question, points);
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const value of points) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (!(most > least)) return points.fill(0);
  const scale = weight / (most - least);
  for (let index = 0; index < points.length; index += 1) {
    points[index] = ((points[index] ?? 0) - least) * scale;
  }
  return points;
}

function addTo(sums: Float64Array, values: Float64Array): void {
  for (let at = 0; at < sums.length; at += 1) sums[at] = (sums[at] ?? 0) + (values[at] ?? 0);
}
