import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

export const notOwner: Rule<SourceView, 'not-owner'> = {
  modes: everyMode,
  outcomes: {
    'not-owner': {
      level: 'critical',
      meaning: 'The ledger of the source says that another host owns the VM.',
      remedy:
        'Move it from the host that owns it; if that is this one after all, `vmferry guard claim` there says so.',
    },
  },
  judge: ({ vm, ledger }) =>
    ledger === undefined || ledger.state === 'owner'
      ? []
      : [
          {
            code: 'not-owner',
            message: `${vm.host} does not own ${vm.name}: its ledger says ${ledger.state}${ledger.note === '' ? '' : ` (${ledger.note})`}`,
            remedy: `Move it from the host that owns it; if that is ${vm.host} after all, \`vmferry guard claim\` there says so.`,
          },
        ],
};
