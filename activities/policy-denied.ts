/** How a refusal by the host's own policy reaches people: as concerns of a check, or as an error of a later verb. */
import type { Concern } from '../domain/concerns.ts';
import { needsOperator, permanent } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import type { Denial, Policy } from '../domain/policy.ts';

/** The policy as its file stands now; a file that cannot be used says why. */
export type PolicyState =
  { state: 'read'; policy: Policy } | { state: 'broken'; file: string; reason: string };

/** Where the policy is had from; asked before each verb, so it has to be quick. Does not reject. */
export interface PolicySource {
  current(): Promise<PolicyState>;
}

const sentenceOf = (host: string, { file }: Policy, { rule, what }: Denial): string =>
  `the policy of ${host} refuses it: ${what} (rule ${rule} in ${file})`;

const remedyOf = (host: string, { file }: Policy, { rule }: Denial): string =>
  `Ask who answers for ${host}; whoever may changes \`${rule}\` in ${file} there, which counts at once.`;

export const deniedConcerns = (
  host: string,
  policy: Policy,
  denied: readonly Denial[],
): Concern[] =>
  denied.map((denial) => ({
    code: 'policy-denied',
    level: 'critical',
    message: sentenceOf(host, policy, denial),
    remedy: remedyOf(host, policy, denial),
    host,
  }));

/**
 * `policy-denied`, which undoes the move; with `park`, where an undo would cost what the guest has written since, it
 * waits for a person instead.
 */
export function deniedError(
  host: string,
  policy: Policy,
  denied: readonly [Denial, ...Denial[]],
  { park }: { park: boolean } = { park: false },
): VmFerryError {
  const [first, ...others] = denied;
  const more = others.map(({ rule, what }) => `; ${what} (${rule})`).join('');
  const fault = {
    code: 'policy-denied',
    message: `${sentenceOf(host, policy, first)}${more}`,
    remedy: remedyOf(host, policy, first),
    host,
  };
  if (!park) return permanent(fault);
  return needsOperator({ ...fault, remedy: `${fault.remedy} Then \`vmferry retry\`.` });
}

const brokenWords = (host: string, file: string, reason: string) => ({
  code: 'policy-broken',
  message: `the policy of ${host} (${file}) cannot be used, so nothing new is let in: ${reason}`,
  remedy: `Mend ${file} on ${host}; it counts at once. Moves that were let in before go on.`,
  host,
});

export const brokenConcern = (
  host: string,
  { file, reason }: { file: string; reason: string },
): Concern => ({ ...brokenWords(host, file, reason), level: 'critical' });

export const brokenError = (
  host: string,
  { file, reason }: { file: string; reason: string },
): VmFerryError => permanent(brokenWords(host, file, reason));
