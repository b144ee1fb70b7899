/** Everything that speaks against an import, or has to be known of it, in the order of the rules. */
import type { Concern } from '../../concerns.ts';
import { importDefaults } from '../../import.ts';
import type { ImportQuestion } from '../../import.ts';
import { ImportMode, modeOfImport } from '../../import/mode.ts';
import type { Finding } from '../rule.ts';
import { withoutRepeats, wordsFor } from './platform-words.ts';
import type { ForeignRule } from './rule.ts';
import {
  batchRules,
  conversionHostRules,
  conversionRules,
  requestRules,
  targetRules,
  vmRules,
} from './rules.ts';
import type { BatchView, ConversionView, HostView, TargetView, VmView } from './views.ts';

/** What may be known beside the question itself. */
export interface AlsoKnown
  extends
    Pick<TargetView, 'offer' | 'existingVolumes' | 'ledger'>,
    Pick<ConversionView, 'enabled' | 'cachedBytes'> {
  /** What the platform itself said of the VM (`ForeignSource.concerns`): what fits the request comes first. */
  said?: readonly Concern[];
}

/** Of an import. */
export function importConcerns(question: ImportQuestion, known: AlsoKnown = {}): Concern[] {
  const { said: platform = [], ...facts } = known;
  const { request, target, conversionHost } = question;
  const view = { ...question, ...facts };
  const mode = modeOfImport(question.vm, request);
  const said = wordsFor(mode, platform);
  const found = [
    ...findBy(vmRules, view, { mode }),
    ...findBy(requestRules, view, { mode }),
    ...findBy(targetRules, view, { mode, host: target.name }),
    ...findBy(conversionRules, view, { mode, host: conversionHost.name }),
  ];
  return [...said, ...withoutRepeats(found, said)];
}

/** Of a VM that is only looked at: as if it were to come by the defaults. */
export function foreignVmConcerns(
  vm: VmView['vm'],
  options: { said?: readonly Concern[]; request?: VmView['request'] } = {},
): Concern[] {
  const { request = importDefaults } = options;
  const mode = modeOfImport(vm, request);
  const said = wordsFor(mode, options.said ?? []);
  return [...said, ...withoutRepeats(findBy(vmRules, { vm, request }, { mode }), said)];
}

/** Of a conversion host by itself, whatever is imported. */
export const conversionHostConcerns = (conversionHost: HostView['conversionHost']): Concern[] =>
  findBy(
    conversionHostRules,
    { conversionHost },
    {
      mode: ImportMode.move,
      host: conversionHost.name,
    },
  );

/** Of several imports at once, beside what speaks against each. */
export const batchConcerns = (view: BatchView): Concern[] =>
  // They speak in every mode, since the imports of a batch may have different ones.
  findBy(batchRules, view, { mode: ImportMode.move });

function findBy<View>(
  rules: readonly ForeignRule<View>[],
  view: View,
  { mode, host }: { mode: ImportMode; host?: string },
): Concern[] {
  return rules
    .filter(({ modes }) => modes.includes(mode))
    .flatMap((rule) => rule.judge(view).map((finding) => concernOf(rule, finding, host)));
}

function concernOf<View>(rule: ForeignRule<View>, finding: Finding, judge?: string): Concern {
  const outcome = rule.outcomes[finding.code];
  if (outcome === undefined)
    throw new Error(`a rule found ${finding.code}, which it does not name`);
  const { code, message, remedy = outcome.remedy, host = judge } = finding;
  const { level } = outcome;
  return { code, level, message, remedy, ...(host !== undefined && { host }) };
}
