import type { HostVerdict, PlacementResult } from './choose.ts';
import type { PlacementNote } from './note.ts';

/** Lines of a note; the last of them counts the hosts that are not named. */
const mostReasons = 20;
const longestReason = 300;

/** What a move keeps of a choice: the chosen host, the refused ones with all reasons, then those that were less good. */
export function noteOf(result: PlacementResult, preferHost = ''): PlacementNote {
  const passed = result.hosts.filter(({ host, passed }) => passed && host !== result.chosen);
  const chosen = result.hosts.filter(({ host }) => host === result.chosen);
  const refused = result.hosts.filter((verdict) => !verdict.passed);
  const lines = [...chosen, ...refused, ...passed].map((verdict) => sentenceOf(verdict, result));
  const more = lines.length - mostReasons;
  const reasons =
    more > 0 ? [...lines.slice(0, mostReasons - 1), `and ${more + 1} more hosts`] : lines;
  return { policy: result.policy, ...(preferHost !== '' && { preferHost }), reasons };
}

function sentenceOf(verdict: HostVerdict, { chosen }: PlacementResult): string {
  const { host } = verdict;
  const text = verdict.passed
    ? `${host} ${host === chosen ? 'is the best' : 'could take it'}: ${verdict.points
        .map(({ reason }) => reason)
        .join(', ')}`
    : `${host} is ruled out: ${verdict.refusals.map(({ reason }) => reason).join('; ')}`;
  return text.length <= longestReason ? text : `${text.slice(0, longestReason - 1)}…`;
}
