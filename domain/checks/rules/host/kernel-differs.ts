import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

/** Of a guest that KVM runs; an emulated one does not feel the kernel. */
export const kernelDiffers: Rule<TargetView, 'kernel-differs' | 'kernel-older'> = {
  modes: liveOnly,
  skip: 'kernel',
  outcomes: {
    'kernel-older': {
      level: 'critical',
      meaning:
        'The target runs an older kernel: its KVM may lack what the running guest has been offered.',
      remedy:
        'Update the target, choose another, or move it cold; --skip-kernel-check where moves between these two are known to work.',
    },
    'kernel-differs': {
      level: 'warning',
      meaning:
        'The target runs another kernel, a newer one or of another make: what KVM emulates for a running guest may differ.',
      remedy:
        'Nothing to do if moves between these two are known to work; else update the older one.',
    },
  },
  judge: ({ vm, target, machine, sourceMachine }) => {
    const here = machine?.kernel ?? '';
    const there = sourceMachine?.kernel ?? '';
    if (vm.domainType !== 'kvm' || here === '' || there === '' || here === there) return [];
    return [
      {
        code: isOlder(here, there) ? 'kernel-older' : 'kernel-differs',
        message: `${vm.host} runs the kernel ${there}, ${target.name} runs ${here}`,
      },
    ];
  },
};

/** By the numbers that both releases begin with, as `6.1.0-30` of `6.1.0-30-amd64`. */
function isOlder(release: string, than: string): boolean {
  const left = numbersOf(release);
  const right = numbersOf(than);
  const at = left.findIndex((number, index) => number !== right[index]);
  const [mine, other] = [left[at], right[at]];
  return mine !== undefined && other !== undefined && mine < other;
}

const numbersOf = (release: string): number[] =>
  (/^\d+(?:[.-]\d+)*/.exec(release)?.[0].split(/[.-]/) ?? []).map(Number);
