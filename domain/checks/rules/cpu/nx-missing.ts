import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { bothCpus } from './both-cpus.ts';

export const nxMissing: Rule<TargetView, 'nx-missing'> = {
  modes: liveOnly,
  skip: 'cpu',
  outcomes: {
    'nx-missing': {
      level: 'critical',
      meaning:
        'The source’s CPU can forbid to execute data (nx), the target’s cannot: the guest’s page tables may use it.',
      remedy:
        'Enable it in the firmware of the target (NX, XD, execute disable), or choose another host.',
    },
  },
  judge: (view) => {
    const cpus = bothCpus(view);
    if (cpus === undefined || !cpus.source.hasNx || cpus.target.hasNx) return [];
    return [
      {
        code: 'nx-missing',
        message: `the CPU of ${view.target.name} has no nx, which that of ${view.vm.host} has and ${view.vm.name} may use`,
      },
    ];
  },
};
