import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';
import { bothCpus } from '../cpu/both-cpus.ts';

/** Between CPUs of two vendors it says nothing; another rule names those. */
export const microcodeDiffers: Rule<TargetView, 'microcode-differs' | 'microcode-older'> = {
  modes: liveOnly,
  skip: 'kernel',
  outcomes: {
    'microcode-older': {
      level: 'critical',
      meaning:
        'The target runs older microcode on the same CPU: the guest may count on a mitigation that it lacks.',
      remedy:
        'Update the microcode of the target, choose another, or move it cold; --skip-kernel-check takes it upon you.',
    },
    'microcode-differs': {
      level: 'warning',
      meaning:
        'The hosts’ CPUs run different microcode, newer or of another CPU: the guest may count on a mitigation that the other lacks.',
      remedy: 'Nothing to do if the CPUs are different models; else update the older one.',
    },
  },
  judge: (view) => {
    const cpus = bothCpus(view);
    if (cpus === undefined) return [];
    const { source, target } = cpus;
    const isKnown = source.microcode !== '' && target.microcode !== '';
    if (!isKnown || source.vendor !== target.vendor || source.microcode === target.microcode)
      return [];
    const isSameCpu = source.signature !== '' && source.signature === target.signature;
    const isOlder = isSameCpu && Number(target.microcode) < Number(source.microcode);
    return [
      {
        code: isOlder ? 'microcode-older' : 'microcode-differs',
        message: `the CPU of ${view.vm.host} runs the microcode ${source.microcode}, that of ${view.target.name} ${target.microcode}`,
      },
    ];
  },
};
