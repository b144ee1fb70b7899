import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { bothCpus } from './both-cpus.ts';

export const cpuVendorDiffers: Rule<TargetView, 'cpu-vendor-differs'> = {
  modes: liveOnly,
  skip: 'cpu',
  outcomes: {
    'cpu-vendor-differs': {
      level: 'critical',
      meaning: 'The hosts’ CPUs are of different vendors, and the guest runs on them (KVM).',
      remedy: 'Choose a host with a CPU of that vendor, or move the VM cold.',
    },
  },
  judge: (view) => {
    const cpus = bothCpus(view);
    if (cpus === undefined || cpus.source.vendor === cpus.target.vendor) return [];
    return [
      {
        code: 'cpu-vendor-differs',
        message: `${view.vm.name} runs on a CPU of ${cpus.source.vendor}; that of ${view.target.name} is of ${cpus.target.vendor}`,
      },
    ];
  },
};
