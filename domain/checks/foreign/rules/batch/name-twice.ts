import { nameOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';
import { findings, onOneTarget, repeated } from './repeated.ts';

export const nameTwice: ForeignRule<BatchView, 'name-twice'> = {
  modes: everyMode,
  outcomes: {
    'name-twice': {
      level: 'critical',
      meaning: 'Two VMs would have one name on one target.',
      remedy: 'Give one of them another name: --name, in a request of its own.',
    },
  },
  judge: ({ entries }) =>
    onOneTarget(entries).flatMap(({ target, here }) =>
      findings(
        'name-twice',
        repeated(here, ({ vm, request }) => [nameOf(vm, request.shape)]),
        (name, vms) => `several VMs would be called ${name} on ${target}: ${vms}`,
      ),
    ),
};
