/** What a platform says of a VM with better knowledge is not said a second time by a rule. */
import type { Concern } from '../../concerns.ts';

/** By the rule's code: codes of platforms that say the same, or more. */
const saidBy: Readonly<Record<string, readonly string[]>> = {
  'addresses-unknown': ['vsphere-tools-not-running'],
  'addresses-unknown-off': ['vsphere-addresses-unknown'],
  'shutdown-unheard': ['vsphere-tools-not-running'],
  'state-unfit': ['vsphere-suspended'],
};

/** What is left of the rules' words. A platform's milder word does not silence a rule. */
export const withoutRepeats = (found: readonly Concern[], said: readonly Concern[]): Concern[] =>
  found.filter(
    (concern) =>
      !said.some(
        ({ code, level }) =>
          saidBy[concern.code]?.includes(code) === true && weight(level) >= weight(concern.level),
      ),
  );

const weight = (level: Concern['level']): number =>
  ['information', 'warning', 'critical'].indexOf(level);
