/** Which conversion host takes an import, and why no other. */
import { needsOperator } from '../errors.ts';
import type { ForeignVm } from '../foreign.ts';
import type { ConversionHostFacts } from '../import.ts';
import { sizeText } from '../placement/size-text.ts';
import { roomOf, unpromisedBytes } from './capacity.ts';

/** A host as the choice knows it. */
export interface ConversionCandidate {
  name: string;
  /** Whether people let it take imports. */
  enabled: boolean;
  /** Why it is not, as a clause: `is disabled` if absent. */
  refusal?: string;
  /** Absent: its worker has told none, or does not answer. */
  facts?: ConversionHostFacts;
}

export interface ConversionWishes {
  provider: string;
  /** Absent while nobody has looked at the VM. */
  kind?: ForeignVm['kind'];
  /** `no`: the tool and drivers do not matter. */
  convert: 'yes' | 'no';
  /** Whether drivers for Windows are needed. */
  windows?: boolean;
  /** Room that the import takes of the cache; 0 if not known. */
  neededBytes: number;
  /** A person's choice: no other host is taken. */
  pinned?: string;
}

/** What was found of a host. */
export type ConversionVerdict =
  /** `waits`: its cache has the room only once others are committed. */
  | { host: string; passed: true; waits: boolean; running: number; availableBytes: number }
  /** Clauses, at least one. */
  | { host: string; passed: false; reasons: string[] };

export interface ConversionChoice {
  /** Absent if no host may take it. */
  chosen?: string;
  /** Every host: those that may from the best on, then the others by name. */
  hosts: ConversionVerdict[];
}

/**
 * The host with the fewest imports under way among those that may, one whose cache has the room now before one that
 * waits for it; of equals the one with the most room, then the first by name. A pinned one wins if it may, and is never replaced by another.
 */
export function chooseConversionHost(
  candidates: readonly ConversionCandidate[],
  wishes: ConversionWishes,
): ConversionChoice {
  const verdicts = candidates.map((candidate) => verdictOf(candidate, wishes));
  const passed = verdicts.filter((verdict) => verdict.passed).sort(better);
  const refused = verdicts.filter((verdict) => !verdict.passed).sort(byName);
  const hosts = [...passed, ...refused];
  const chosen = passed[0]?.host;
  return chosen === undefined ? { hosts } : { chosen, hosts };
}

/** The chosen one. Throws `conversion-host-unknown`, `no-conversion-host`. */
export function chosenConversionHost(
  candidates: readonly ConversionCandidate[],
  wishes: ConversionWishes,
): string {
  const { chosen, hosts } = chooseConversionHost(candidates, wishes);
  if (chosen !== undefined) return chosen;
  const { pinned, provider } = wishes;
  if (pinned !== undefined && !candidates.some(({ name }) => name === pinned)) {
    throw needsOperator({
      code: 'conversion-host-unknown',
      message: `no host is called ${pinned}, which was to convert`,
      remedy: 'Correct --on, or leave it out.',
    });
  }
  const asked = hosts.filter(({ host }) => pinned === undefined || host === pinned);
  throw needsOperator({
    code: 'no-conversion-host',
    message: `no host can take the import from ${provider}: ${reasonsText(asked)}`,
    remedy: 'Mend what is named, or add a conversion host with that provider.',
  });
}

/** More of them are for `hosts` of the choice. */
const mostTold = 5;

function reasonsText(hosts: readonly ConversionVerdict[]): string {
  if (hosts.length === 0) return 'there is none';
  const told = hosts
    .slice(0, mostTold)
    .map((verdict) => `${verdict.host} ${verdict.passed ? 'may' : verdict.reasons.join(', ')}`);
  const rest = hosts.length - told.length;
  return `${told.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`;
}

function verdictOf(candidate: ConversionCandidate, wishes: ConversionWishes): ConversionVerdict {
  const { name, facts } = candidate;
  const reasons = reasonsAgainst(candidate, wishes);
  if (facts === undefined || reasons.length > 0) return { host: name, passed: false, reasons };
  const { availableBytes } = roomOf(facts);
  const waits = availableBytes < wishes.neededBytes;
  return { host: name, passed: true, waits, running: facts.running, availableBytes };
}

function reasonsAgainst(
  { name, enabled, refusal = 'is disabled', facts }: ConversionCandidate,
  { provider, kind, convert, windows, neededBytes, pinned }: ConversionWishes,
): string[] {
  const standing = [
    ...(pinned !== undefined && pinned !== name ? [`is not ${pinned}, which was asked for`] : []),
    ...(enabled ? [] : [refusal]),
  ];
  if (facts === undefined) return [...standing, 'has told no facts'];
  const line = facts.providers.find((one) => one.name === provider);
  // What others were promised is waited for.
  const mostBytes = unpromisedBytes(facts);
  return [
    ...standing,
    ...(line === undefined ? [`has no provider ${provider}`] : []),
    ...(line !== undefined && kind !== undefined && line.kind !== kind
      ? [`has ${provider} as ${line.kind}, not as ${kind}`]
      : []),
    ...(convert === 'yes' && facts.toolVersion === undefined
      ? [`cannot convert (${facts.toolTrouble ?? 'virt-v2v-in-place is missing'})`]
      : []),
    ...(convert === 'yes' && windows === true && !facts.virtioWin
      ? ['has no drivers for Windows']
      : []),
    // Compared by >=: a figure that is no number then refuses.
    ...(mostBytes >= neededBytes
      ? []
      : [
          `has ${sizeText(mostBytes)} free in its cache and would need ${sizeText(neededBytes, 'up')}`,
        ]),
  ];
}

type Passed = Extract<ConversionVerdict, { passed: true }>;

const byName = (one: { host: string }, other: { host: string }): number =>
  one.host < other.host ? -1 : Number(one.host > other.host);

const better = (one: Passed, other: Passed): number =>
  Number(one.waits) - Number(other.waits) ||
  one.running - other.running ||
  other.availableBytes - one.availableBytes ||
  byName(one, other);
