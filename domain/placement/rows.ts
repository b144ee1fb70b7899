import type { HostVerdict, PlacementResult } from './choose.ts';

/** A line of the table that explains a choice; figures as text, as a table wants them. */
export interface PlacementRow {
  host: string;
  state: 'chosen' | 'possible' | 'refused';
  /** The sum of all points; empty if refused. */
  total: string;
  /** Points by weigher, with what was measured; or by which filters the host is refused, and why. */
  why: string;
}

/** The explanation as rows, in the order of the result. */
export const placementRows = (result: PlacementResult): PlacementRow[] =>
  result.hosts.map((verdict) => ({
    host: verdict.host,
    state: stateOf(verdict, result.chosen),
    total: verdict.passed ? pointsText(verdict.total) : '',
    why: verdict.passed ? reasonsFor(verdict) : reasonsAgainst(verdict),
  }));

function stateOf(verdict: HostVerdict, chosen: string | undefined): PlacementRow['state'] {
  if (!verdict.passed) return 'refused';
  return verdict.host === chosen ? 'chosen' : 'possible';
}

const reasonsFor = ({ points }: Extract<HostVerdict, { passed: true }>): string =>
  points
    .map(({ weigher, points: given, reason }) => `${weigher} ${pointsText(given)}: ${reason}`)
    .join('; ');

const reasonsAgainst = ({ refusals }: Extract<HostVerdict, { passed: false }>): string =>
  refusals.map(({ filter, reason }) => `${filter}: ${reason}`).join('; ');

const pointsText = (points: number): string => points.toFixed(3);

/** How many hosts each filter refuses, the most first: what there is to say of a thousand hosts that all refuse. */
export function refusalCounts(result: PlacementResult): { filter: string; hosts: number }[] {
  const counts = new Map<string, number>();
  for (const verdict of result.hosts) {
    if (verdict.passed) continue;
    for (const { filter } of verdict.refusals) counts.set(filter, (counts.get(filter) ?? 0) + 1);
  }
  return [...counts]
    .map(([filter, hosts]) => ({ filter, hosts }))
    .sort((a, b) => b.hosts - a.hosts || (a.filter < b.filter ? -1 : 1));
}
