import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';
import { findings, onOneTarget, repeated } from './repeated.ts';

/** Names that differ only in what no storage takes become one. */
export const volumeTwice: ForeignRule<BatchView, 'volume-twice'> = {
  modes: everyMode,
  outcomes: {
    'volume-twice': {
      level: 'critical',
      meaning:
        'Disks of two VMs would go to one volume: their names are too much alike, or it was asked for twice.',
      remedy: 'Give one of the VMs or volumes another name: --name, --volumes.',
    },
  },
  judge: ({ entries }) =>
    onOneTarget(entries).flatMap(({ target, here }) =>
      findings(
        'volume-twice',
        repeated(
          here,
          ({ plan }) =>
            plan?.disks.map(({ targetPool, targetVolume }) => `${targetPool}/${targetVolume}`) ??
            [],
        ),
        (volume, vms) => `disks of several VMs would go to ${volume} of ${target}: ${vms}`,
      ),
    ),
};
