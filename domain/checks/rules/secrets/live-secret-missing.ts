import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { lackingSecrets } from './lacking.ts';

/** A cold move takes them along; libvirt's migration does not, and opens the disks before anything else could. */
export const liveSecretMissing: Rule<TargetView, 'live-secret-missing'> = {
  modes: liveOnly,
  outcomes: {
    'live-secret-missing': {
      level: 'critical',
      meaning:
        'The target lacks a secret that the guest needs; a live move does not take it along.',
      remedy: 'Define it there beforehand: virsh secret-define and virsh secret-set-value.',
    },
  },
  judge: (view) =>
    lackingSecrets(view)
      .filter(({ readable }) => readable)
      .map(({ named }) => ({
        code: 'live-secret-missing',
        message: `${view.target.name} has no secret ${named}, which ${view.vm.name} needs and a live move does not take along`,
      })),
};
