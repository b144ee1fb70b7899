import type { Concern } from '../concerns.ts';
import type { MoveRequest } from '../move.ts';
import { modeOf } from './rule.ts';
import type { Finding, Outcome, Rule } from './rule.ts';

/** What the walk itself has to know of a view. */
interface Asked {
  request: Pick<MoveRequest, 'live' | 'skip'> & Partial<Pick<MoveRequest, 'operator'>>;
}

/** What the rules of the request's mode find, in their order; `host` is the one that judges. */
export function concernsBy<View extends Asked>(
  rules: readonly Rule<View>[],
  view: View,
  host: string,
): Concern[] {
  const mode = modeOf(view.request);
  return rules
    .filter(({ modes }) => modes.includes(mode))
    .flatMap((rule) =>
      rule.judge(view).map((finding) => {
        const concern = concernOf(rule, finding, host);
        const isSkipped = rule.skip !== undefined && view.request.skip?.includes(rule.skip);
        return isSkipped === true ? skipped(concern, view.request.operator) : concern;
      }),
    );
}

function concernOf<View>(rule: Rule<View>, finding: Finding, host: string): Concern {
  const outcome: Outcome | undefined = rule.outcomes[finding.code];
  if (outcome === undefined)
    throw new Error(`a rule found ${finding.code}, which it does not name`);
  const { level, remedy } = outcome;
  const { code, message } = finding;
  return { code, level, message, remedy: finding.remedy ?? remedy, host: finding.host ?? host };
}

/** A person took it upon themselves: it stays in the report, and forbids nothing. */
const skipped = (concern: Concern, operator = ''): Concern => ({
  ...concern,
  level: 'information',
  message: `${concern.message} (skipped by ${operator === '' ? 'the request' : operator})`,
});
