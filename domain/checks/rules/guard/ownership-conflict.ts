import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { ledgerSays } from '../../words.ts';

export const ownershipConflict: Rule<TargetView, 'ownership-conflict'> = {
  modes: everyMode,
  outcomes: {
    'ownership-conflict': {
      level: 'critical',
      meaning:
        'The ledger of the target has an entry of the VM that is not of a move away from there.',
      remedy:
        'Find out which host really runs the VM; `vmferry doctor` on both shows their ledgers.',
    },
  },
  judge: ({ vm, target, ledger }) =>
    ledger === undefined || ledger.state === 'released'
      ? []
      : [
          {
            code: 'ownership-conflict',
            message: ledgerSays(target.name, vm.name, ledger),
            remedy: `Find out which host really runs ${vm.name}; \`vmferry doctor\` on both shows their ledgers.`,
          },
        ],
};
