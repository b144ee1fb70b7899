import type { Question } from './question.ts';
import { sizeText } from './size-text.ts';

/** The names of all weighers, in the order in which their points are added and shown. */
export const weigherNames = [
  'preferred-host',
  'soft-affinity',
  'running-vms',
  'free-memory',
  'free-pool-room',
  'few-moves',
] as const;
export type WeigherName = (typeof weigherNames)[number];

/** A reason for one host over another, among those that may take the VM. */
export interface Weigher {
  /** Whether it has anything to say for this VM; where it has not, no host gets points. */
  readonly applies: (question: Question) => boolean;
  /**
   * Writes what it measures of each host into `into`, in the order of `ats`. More is better, in a unit of its own: it is
   * brought to 0 to 1 over the hosts that are compared.
   */
  readonly measure: (ats: readonly number[], question: Question, into: Float64Array) => void;
  /** What was measured, for people. */
  readonly reason: (at: number, question: Question) => string;
}

const always = (): boolean => true;
const count = (number: number, one: string, many: string): string =>
  `${number} ${number === 1 ? one : many}`;
const percent = (share: number): string => `${Math.floor(share * 100)} %`;

/** Reads a column for all hosts; with `sign` -1, less is better. */
function read(
  column: Float64Array,
  ats: readonly number[],
  into: Float64Array,
  sign: 1 | -1,
): void {
  let index = 0;
  for (const at of ats) {
    into[index] = sign * (column[at] ?? 0);
    index += 1;
  }
}

/** Of the pools that the disks are copied to, the share that is free in the fullest; 1 where nothing is copied. */
function leastPoolShares(
  ats: readonly number[],
  { fleet, poolNeeds }: Question,
  into: Float64Array,
): void {
  into.fill(1);
  for (const { pool, copies } of poolNeeds) {
    const column = copies ? fleet.pools.get(pool)?.freeShare : undefined;
    if (column === undefined) continue;
    let index = 0;
    for (const at of ats) {
      into[index] = Math.min(into[index] ?? 1, column[at] ?? 0);
      index += 1;
    }
  }
}

/** Only hosts that have VMs of a group are looked at: most have none. */
function nearMinusFar(
  ats: readonly number[],
  { softTogether, softApart }: Question,
  into: Float64Array,
): void {
  into.fill(0);
  const signed = [
    ...softTogether.map(({ hosts }) => ({ hosts, sign: 1 })),
    ...softApart.map(({ hosts }) => ({ hosts, sign: -1 })),
  ];
  for (const { hosts, sign } of signed) {
    if (hosts.size === 0) continue;
    let index = 0;
    for (const at of ats) {
      into[index] = (into[index] ?? 0) + sign * (hosts.get(at) ?? 0);
      index += 1;
    }
  }
}

export const weighers: Readonly<Record<WeigherName, Weigher>> = {
  'preferred-host': {
    applies: ({ preferHost }) => preferHost !== '',
    measure: (ats, { fleet, preferHost }, into) => {
      into.fill(0);
      const index = ats.indexOf(fleet.indexOf.get(preferHost) ?? -1);
      if (index >= 0) into[index] = 1;
    },
    reason: (at, { fleet, preferHost }) =>
      fleet.indexOf.get(preferHost) === at ? 'preferred' : 'not preferred',
  },
  'soft-affinity': {
    applies: ({ softTogether, softApart }) => softTogether.length + softApart.length > 0,
    measure: nearMinusFar,
    reason: (at, { softTogether, softApart }) =>
      [
        ...softTogether.map(({ group, hosts }) => ({ wish: 'near', group, hosts })),
        ...softApart.map(({ group, hosts }) => ({ wish: 'away from', group, hosts })),
      ]
        .map(
          ({ wish, group, hosts }) =>
            `wishes to be ${wish} group ${group}: ${hosts.get(at) ?? 0} there`,
        )
        .join(', '),
  },
  'running-vms': {
    applies: always,
    measure: (ats, { fleet }, into) => read(fleet.columns.vms, ats, into, -1),
    reason: (at, { fleet }) =>
      `${count(fleet.columns.vms[at] ?? 0, 'VM runs or is', 'VMs run or are')} awaited`,
  },
  'free-memory': {
    applies: always,
    measure: (ats, { fleet }, into) => read(fleet.columns.freeMemoryShare, ats, into, 1),
    reason: (at, { fleet: { columns } }) =>
      `${percent(columns.freeMemoryShare[at] ?? 0)} of memory free (${sizeText(columns.freeMemoryBytes[at] ?? 0)})`,
  },
  'free-pool-room': {
    applies: ({ poolNeeds }) => poolNeeds.some(({ copies }) => copies),
    measure: leastPoolShares,
    reason: (at, question) => {
      const share = new Float64Array(1);
      leastPoolShares([at], question, share);
      return `${percent(share[0] ?? 0)} of the pool free`;
    },
  },
  'few-moves': {
    applies: always,
    measure: (ats, { fleet }, into) => read(fleet.columns.moves, ats, into, -1),
    reason: (at, { fleet }) => `${count(fleet.columns.moves[at] ?? 0, 'move', 'moves')} under way`,
  },
};

export type Weights = Readonly<Record<WeigherName, number>>;

/**
 * What is looked at first. The weights lie so far apart that a person's wish comes before a policy, and a policy before
 * what only breaks its ties: a VM fewer outweighs all free memory, as long as the hosts lie within 1000 VMs.
 */
export const startPolicies = {
  /** The default, as in the field. */
  'fewest-vms': {
    'preferred-host': 10_000,
    'soft-affinity': 3000,
    'running-vms': 1000,
    'free-memory': 0.5,
    'free-pool-room': 0.3,
    'few-moves': 0.1,
  },
  'most-free-memory': {
    'preferred-host': 10_000,
    'soft-affinity': 3000,
    'running-vms': 0.3,
    'free-memory': 1000,
    'free-pool-room': 0.3,
    'few-moves': 0.1,
  },
} as const satisfies Record<string, Weights>;
export type StartPolicy = keyof typeof startPolicies;
