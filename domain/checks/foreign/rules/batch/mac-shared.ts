import { keptMacs } from '../../../../import/macs.ts';
import { modeOfImport } from '../../../../import/mode.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchEntry, BatchView } from '../../views.ts';
import { findings, repeated } from './repeated.ts';

const macsOf = ({ vm, request, plan }: BatchEntry): string[] =>
  plan?.nics.map(({ mac }) => mac) ?? keptMacs(vm, modeOfImport(vm, request), request.shape);

/** On different targets as well: their bridges may be one network. */
export const macShared: ForeignRule<BatchView, 'mac-shared'> = {
  modes: everyMode,
  outcomes: {
    'mac-shared': {
      level: 'critical',
      meaning: 'Two VMs would have one MAC address.',
      remedy:
        'Give one of them another one, at the source or with --nics, or --new-macs for all of them.',
    },
  },
  judge: ({ entries }) =>
    findings(
      'mac-shared',
      repeated(entries, macsOf),
      (mac, vms) => `several VMs would have the MAC address ${mac}: ${vms}`,
    ),
};
