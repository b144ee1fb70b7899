/** What platforms say of a VM by themselves, beside what the rules say. */
import type { Concern } from '../../concerns.ts';
import { ImportMode } from '../../import/mode.ts';

/** They speak of reading a VM that runs; one that is shut down first has no use for them. */
const ofRunningOnly: readonly string[] = ['source-keeps-running', 'pull-backup-unsupported'];

/** A platform looks at the VM as it is now and knows nothing of the request: what is left of its words for that. */
export const wordsFor = (mode: ImportMode, said: readonly Concern[]): Concern[] =>
  said.filter(({ code }) => mode === ImportMode.clone || !ofRunningOnly.includes(code));

/** By the rule's code: codes of platforms that say the same with better knowledge, or more. */
const saidBy: Readonly<Record<string, readonly string[]>> = {
  'addresses-unknown': ['vsphere-tools-not-running'],
  'addresses-unknown-off': ['vsphere-addresses-unknown'],
  'shutdown-unheard': ['vsphere-tools-not-running'],
  'state-unfit': ['vsphere-suspended'],
  'disk-over-network': ['disk-kind-unsupported'],
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
