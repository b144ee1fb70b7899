import { cardsOf, hasNetwork, networkFor, networkOf } from '../../../../import/networks.ts';
import { listed } from '../../../words.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'bridge-missing' | 'network-missing';

export const networkMissing: ForeignRule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'bridge-missing': {
      level: 'critical',
      meaning: 'The target lacks a bridge that a card of the VM comes to.',
      remedy: 'Create it there, or map the network to another one.',
    },
    'network-missing': {
      level: 'critical',
      meaning: 'The target has no active libvirt network of the name that a card comes to.',
      remedy: 'Start it there (virsh net-start), or map the network to another one.',
    },
  },
  judge: ({ vm, request, target }) => {
    const choices = new Set(cardsOf(vm, request.shape).map((nic) => networkFor(nic, request)));
    return [...choices].flatMap((choice): Finding<Code>[] => {
      if (choice === undefined) return [];
      const { kind, name } = networkOf(choice);
      if (hasNetwork({ kind, name }, target)) return [];
      return kind === 'bridge'
        ? [
            {
              code: 'bridge-missing',
              message: `${target.name} has no bridge ${name} for ${vm.name}; it has: ${listed(target.bridges)}`,
            },
          ]
        : [
            {
              code: 'network-missing',
              message: `${target.name} has no active libvirt network ${name} for ${vm.name}; it has: ${listed(target.networks)}`,
            },
          ];
    });
  },
};
