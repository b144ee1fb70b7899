import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** Less is lost in the way of messages. */
const tolerableMs = 2_000;

/** Each host measured how far it is from the Temporal server's clock. */
export const clockSkew: Rule<TargetView, 'clock-skew'> = {
  modes: liveOnly,
  outcomes: {
    'clock-skew': {
      level: 'warning',
      meaning:
        'The clocks of both hosts differ by more than 2 s: a guest that keeps time by its host will jump.',
      remedy: 'Let both keep time by the same servers (chrony, systemd-timesyncd).',
    },
  },
  judge: ({ vm, target, machine, sourceMachine }) => {
    const here = machine?.clockAheadMs;
    const there = sourceMachine?.clockAheadMs;
    if (here === undefined || there === undefined) return [];
    const aheadMs = here - there;
    if (Math.abs(aheadMs) <= tolerableMs) return [];
    const seconds = (Math.abs(aheadMs) / 1000).toFixed(1);
    return [
      {
        code: 'clock-skew',
        message: `the clock of ${target.name} is about ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of ${vm.host}`,
      },
    ];
  },
};
