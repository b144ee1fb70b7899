/**
 * The role of a conversion host: what people set of it, who did, and what the host's worker holds to. A host whose
 * configuration names a provider has the role by itself, until a person takes it away.
 */
import { shareOfCap } from '../bandwidth.ts';

/** What people set. What is absent is as the host's own configuration says. */
export interface ConversionRole {
  /** False: a person took the role away; it comes back by a person's word alone. */
  given: boolean;
  /** Whether new imports may begin there; those under way go on. */
  enabled: boolean;
  /** What leaves its cache, over all imports, bytes a second; 0 is none. */
  upBytesPerSecond?: number;
  /** What comes into its cache, over all imports, bytes a second; 0 is none. */
  downBytesPerSecond?: number;
  /** Imports that are copied and converted at a time. */
  parallel?: number;
}

/** What is absent stays as it is. */
export type ConversionChange = Partial<ConversionRole>;

/** A change with the person behind it. */
export interface ConversionOrder extends ConversionChange {
  operator: string;
}

/** What the host's worker said it holds to. */
export interface ConversionInForce {
  /** Whether new imports may begin. */
  takesImports: boolean;
  upBytesPerSecond: number;
  downBytesPerSecond: number;
  parallel: number;
}

/** What a worker is told: what is absent goes back to its own configuration. */
export type ConversionTerms = Pick<ConversionInForce, 'takesImports'> &
  Partial<Omit<ConversionInForce, 'takesImports'>>;

/** Who did what, kept with the host. */
export interface ConversionDeed {
  /** ISO 8601, UTC. */
  at: string;
  operator: string;
  /** In words: `disabled`, `down 125000000 B/s`. */
  what: string;
}

/** Of a host that a person ever changed in this; absent of all others. */
export interface ConversionState {
  role: ConversionRole;
  /** Absent while the worker has not taken the last change over. */
  inForce?: ConversionInForce;
  /** Why it has not. */
  trouble?: string;
  /** The latest, the newest last. */
  deeds: readonly ConversionDeed[];
}

const mostDeeds = 50;
/** 8 Kbit/s to 32 Gbit/s, the field's own; in bytes a second. */
const conversionRates = { least: 1000, most: 4_000_000_000 } as const;
const mostParallelConversions = 64;

export const newConversion: ConversionState = { role: { given: true, enabled: true }, deeds: [] };

/** Why a host takes no imports, as a clause; undefined if nothing that people set keeps it from them. */
export function refusesImports({ given, enabled }: ConversionRole): string | undefined {
  if (!given) return 'is no conversion host any more (`vmferry conversion-hosts add`)';
  return enabled ? undefined : 'is disabled';
}

/** The state after a change; the worker has yet to take it over. */
export function withConversionChange(
  { role, deeds }: ConversionState,
  { operator, ...change }: ConversionOrder,
  now: string,
): ConversionState {
  const deed = { at: now, operator, what: wordsOf(change) };
  return { role: { ...role, ...change }, deeds: [...deeds, deed].slice(-mostDeeds) };
}

/** Why a change is refused, one sentence a reason without its full stop; empty if it is not. */
export function conversionRefusedBecause(change: ConversionChange): string[] {
  const { upBytesPerSecond, downBytesPerSecond, parallel } = change;
  const { least, most } = conversionRates;
  const isRate = (rate: number | undefined): boolean =>
    rate === undefined || rate === 0 || (Number.isInteger(rate) && rate >= least && rate <= most);
  return [
    ...(isRate(upBytesPerSecond) && isRate(downBytesPerSecond)
      ? []
      : ['a bandwidth has to lie between 8kbit/s and 32Gbit/s, or be 0 for none']),
    ...(parallel === undefined ||
    (Number.isInteger(parallel) && parallel >= 1 && parallel <= mostParallelConversions)
      ? []
      : [`the copies and conversions at a time have to be 1 to ${mostParallelConversions}`]),
  ];
}

/** What the worker has to be told, or undefined if nobody set anything or it holds to it. */
export function termsToApply(state: ConversionState | undefined): ConversionTerms | undefined {
  if (state === undefined) return undefined;
  const { given, enabled, ...limits } = state.role;
  const terms: ConversionTerms = { takesImports: given && enabled, ...limits };
  const { inForce } = state;
  const holds =
    inForce !== undefined &&
    Object.entries(terms).every(([key, value]) => inForce[key as keyof ConversionTerms] === value);
  return holds ? undefined : terms;
}

/** What one of so many imports may send at a time. */
export const uploadShare = (
  { upBytesPerSecond }: Pick<ConversionInForce, 'upBytesPerSecond'>,
  transfers: number,
): number => shareOfCap(upBytesPerSecond, transfers);

function wordsOf(change: ConversionChange): string {
  const { given, enabled, upBytesPerSecond, downBytesPerSecond, parallel } = change;
  const rate = (which: string, value: number | undefined): string[] =>
    value === undefined ? [] : [value === 0 ? `no limit ${which}` : `${which} ${value} B/s`];
  const words = [
    ...(given === undefined ? [] : [given ? 'added' : 'deleted']),
    ...(enabled === undefined ? [] : [enabled ? 'enabled' : 'disabled']),
    ...rate('up', upBytesPerSecond),
    ...rate('down', downBytesPerSecond),
    ...(parallel === undefined ? [] : [`parallel ${parallel}`]),
  ];
  return words.join(', ');
}
