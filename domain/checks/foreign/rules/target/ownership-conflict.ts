import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const ownershipConflict: ForeignRule<TargetView, 'ownership-conflict'> = {
  modes: everyMode,
  outcomes: {
    'ownership-conflict': {
      level: 'critical',
      meaning:
        'The ledger of the target has an entry of the VM that is not of a move away from there.',
      remedy:
        'Find out whether the VM came there before; `vmferry doctor` shows the ledger, `vmferry guard` settles it.',
    },
  },
  judge: ({ vm, target, ledger }) =>
    ledger === undefined || ledger.state === 'released'
      ? []
      : [
          {
            code: 'ownership-conflict',
            message: `the ledger of ${target.name} already says ${ledger.state} for ${vm.name}${ledger.note === '' ? '' : ` (${ledger.note})`}`,
          },
        ],
};
