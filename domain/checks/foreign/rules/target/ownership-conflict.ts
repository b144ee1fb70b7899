import type { Finding } from '../../../rule.ts';
import { ledgerSays } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'ownership-conflict' | 'came-before';

export const ownershipConflict: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'ownership-conflict': {
      level: 'critical',
      meaning:
        'The ledger of the target has an entry of the VM that is not of a move away from there.',
      remedy:
        'Find out whether the VM came there before; `vmferry doctor` shows the ledger, `vmferry guard` settles it.',
    },
    'came-before': {
      level: 'warning',
      meaning:
        'The ledger of the target says that the VM was there before and went to another host: the import would be a second copy of it.',
      remedy: 'Nothing to do if that one is gone for good; else use it, and leave this one alone.',
    },
  },
  judge: ({ vm, target, ledger }): Finding<Code>[] => {
    if (ledger === undefined) return [];
    const code = ledger.state === 'released' ? 'came-before' : 'ownership-conflict';
    return [{ code, message: ledgerSays(target.name, vm.name, ledger) }];
  },
};
