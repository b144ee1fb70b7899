import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'bridge-missing' | 'network-missing' | 'interface-unsupported';

/** Each interface has one way to a network, and one thing that may be wrong with it. */
export const networkMissing: Rule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'bridge-missing': {
      level: 'critical',
      meaning: 'The target lacks a bridge that an interface of the VM is on.',
      remedy: 'Create the bridge on the target, or change the interface before the move.',
    },
    'network-missing': {
      level: 'critical',
      meaning: 'The target has no active libvirt network of the name that an interface is on.',
      remedy: 'Define and start it on the target: virsh net-start.',
    },
    'interface-unsupported': {
      level: 'critical',
      meaning: 'An interface is neither on a bridge nor on a libvirt network.',
      remedy: 'Attach it to a bridge or a network before the move.',
    },
  },
  judge: ({ vm, target }) =>
    vm.nics.flatMap(({ kind, sourceName, mac }): Finding<Code>[] => {
      if (kind === 'bridge' && !target.bridges.includes(sourceName)) {
        return [
          {
            code: 'bridge-missing',
            message: `${target.name} has no bridge ${sourceName}, which the interface ${mac} of ${vm.name} needs`,
            remedy: `Create the bridge on ${target.name}, or change the interface before the move.`,
          },
        ];
      }
      if (kind === 'network' && !target.networks.includes(sourceName)) {
        return [
          {
            code: 'network-missing',
            message: `${target.name} has no active libvirt network ${sourceName}, which the interface ${mac} of ${vm.name} needs`,
            remedy: `Define and start it on ${target.name}: virsh net-start ${sourceName}`,
          },
        ];
      }
      if (kind !== 'other') return [];
      return [
        {
          code: 'interface-unsupported',
          message: `the interface ${mac} of ${vm.name} is neither on a bridge nor on a libvirt network`,
        },
      ];
    }),
};
