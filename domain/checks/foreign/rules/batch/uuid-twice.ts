import { modeOfImport } from '../../../../import/mode.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';
import { findings, repeated } from './repeated.ts';

export const uuidTwice: ForeignRule<BatchView, 'uuid-twice'> = {
  modes: everyMode,
  outcomes: {
    'uuid-twice': {
      level: 'critical',
      meaning: 'Two VMs have one UUID, as copies of a VM have: they are told apart by it.',
      remedy: 'Give one of them another UUID at the source, or bring one of them alone.',
    },
  },
  judge: ({ entries }) =>
    findings(
      'uuid-twice',
      repeated(entries, ({ vm, request }) => [
        modeOfImport(vm, request) === 'clone' ? '' : vm.uuid.toLowerCase(),
      ]),
      (uuid, vms) => `several VMs have the UUID ${uuid}: ${vms}`,
    ),
};
