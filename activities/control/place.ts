import { explain } from '../../domain/placement/choose.ts';
import type { HostVerdict, PlacementResult } from '../../domain/placement/choose.ts';
import { fleetOf } from '../../domain/placement/fleet.ts';
import type { PlacementHost } from '../../domain/placement/host.ts';
import { noteOf } from '../../domain/placement/note-of.ts';
import { placementRows, refusalCounts } from '../../domain/placement/rows.ts';
import type { Refusal } from '../../domain/placement/filters/all.ts';
import { placementHost, supposedHost, withoutMovesIn } from '../../domain/hosts/standing.ts';
import type { HostState } from '../../domain/hosts/state.ts';
import type { PlaceAnswer, PlaceInput } from './contract.ts';
import { dropOver, reserveFirmly } from './fleet.ts';
import type { FleetAccess } from './fleet.ts';

/** Rows that cross history; the rest is counted. */
const mostRows = 50;
/** Hosts whose online workers are asked for at a time. */
const looksAtATime = 16;
/** Holders that are looked up when no host takes the VM. */
const mostHolders = 200;

type Known = { name: string; state?: HostState };

/** Chooses by the rules, and holds the choice against what only the moment knows: workers that are away, late refusals. */
export async function place(fleet: FleetAccess, input: PlaceInput): Promise<PlaceAnswer> {
  const first = await tryToPlace(fleet, input);
  if (first.chosen !== undefined) return first;
  // Perhaps moves that are over hold what this one lacks.
  const held = (await fleet.hosts()).map(({ name, state }) => ({
    host: name,
    holders: (state?.movesIn ?? []).slice(0, mostHolders),
  }));
  return (await dropOver(fleet, held)) === 0 ? first : tryToPlace(fleet, input);
}

async function tryToPlace(fleet: FleetAccess, input: PlaceInput): Promise<PlaceAnswer> {
  const { vm, wishes, move, exclude = [] } = input;
  const hosts = await fleet.hosts();
  const result = explain(fleetOf(hosts.map((known) => seen(known, input))), vm, wishes);
  const beside = new Map<string, Refusal>();
  for (const { name, state } of hosts) {
    if (exclude.includes(name))
      beside.set(name, { filter: 'excluded', reason: `${name} is not to be used` });
    else if (state?.reading === undefined)
      beside.set(name, { filter: 'facts', reason: `${name} has told no facts yet` });
  }
  for (const name of await offline(fleet, result, beside))
    beside.set(name, { filter: 'online', reason: `no worker of ${name} is online` });
  if (move === undefined) return answerOf(settled(result, beside), hosts, input);
  for (;;) {
    const { chosen } = settled(result, beside);
    if (chosen === undefined) break;
    const wish = { ...move, direction: 'in', vm, by: 'placed' } as const;
    const answer = await reserveFirmly(fleet, chosen, wish);
    if (answer.granted) break;
    for (const refusal of answer.refusals.slice(0, 1)) beside.set(chosen, refusal);
  }
  return answerOf(settled(result, beside), hosts, input);
}

function seen(
  { name, state }: Known,
  { supposed, move }: Pick<PlaceInput, 'supposed' | 'move'>,
): PlacementHost {
  const known = placementHost(name, state ?? unknownState);
  const host = move?.waits === true ? withoutMovesIn(known) : known;
  return supposed === undefined ? host : supposedHost(host, supposed);
}

/** Takes nothing: `facts` refuses it besides. */
const unknownState: HostState = {
  settings: {
    enabled: true,
    draining: false,
    labels: {},
    limits: { movesIn: 0, movesOut: 0 },
    vcpuRatio: 1,
  },
  movesIn: [],
  movesOut: [],
};

/** Of the hosts that passed so far, those without a worker. */
async function offline(
  fleet: FleetAccess,
  result: PlacementResult,
  beside: ReadonlyMap<string, Refusal>,
): Promise<string[]> {
  const names = result.hosts
    .filter(({ host, passed }) => passed && !beside.has(host))
    .map(({ host }) => host);
  const away: string[] = [];
  for (let at = 0; at < names.length; at += looksAtATime) {
    const some = names.slice(at, at + looksAtATime);
    const online = await Promise.all(some.map((name) => fleet.online(name)));
    away.push(...some.filter((_, index) => online[index] !== true));
  }
  return away;
}

/** The result with what else speaks against hosts; the best of the others is chosen. */
function settled(result: PlacementResult, beside: ReadonlyMap<string, Refusal>): PlacementResult {
  const hosts = result.hosts.map((verdict): HostVerdict => {
    const refusal = beside.get(verdict.host);
    if (refusal === undefined) return verdict;
    const before = verdict.passed ? [] : verdict.refusals;
    return { host: verdict.host, passed: false, refusals: [refusal, ...before] };
  });
  const passed = hosts.filter((verdict) => verdict.passed);
  const refused = hosts.filter((verdict) => !verdict.passed);
  const { chosen: _before, ...rest } = result;
  const [best] = passed;
  return {
    ...rest,
    ...(best === undefined ? {} : { chosen: best.host }),
    hosts: [...passed, ...refused],
  };
}

function answerOf(
  result: PlacementResult,
  hosts: readonly Known[],
  { wishes }: PlaceInput,
): PlaceAnswer {
  const { vm, policy, chosen } = result;
  return {
    vm,
    policy,
    ...(chosen === undefined ? {} : { chosen }),
    hosts: hosts.length,
    rows: placementRows(result).slice(0, mostRows),
    refusals: refusalCounts(result),
    note: noteOf(result, wishes.preferHost),
  };
}
