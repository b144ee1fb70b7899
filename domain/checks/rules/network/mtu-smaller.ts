import type { MachineFacts } from '../../../host.ts';
import type { VmNic } from '../../../vm.ts';
import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

type Code = 'mtu-smaller';

/** Told once of each network. */
export const mtuSmaller: Rule<TargetView, Code> = {
  modes: everyMode,
  outcomes: {
    'mtu-smaller': {
      level: 'warning',
      meaning:
        'A bridge or network of the target has a smaller MTU than that of the source: larger frames of the guest would be lost.',
      remedy: 'Give both the same MTU, or see that the guest uses the smaller one.',
    },
  },
  judge: ({ vm, target, machine, sourceMachine }) => {
    const told = new Set<string>();
    return vm.nics.flatMap((nic): Finding<Code>[] => {
      const here = mtuOf(machine, nic);
      const there = mtuOf(sourceMachine, nic);
      const name = `${nic.kind} ${nic.sourceName}`;
      if (here === undefined || there === undefined || here >= there || told.has(name)) return [];
      told.add(name);
      return [
        {
          code: 'mtu-smaller',
          message: `the ${name} has the MTU ${here} on ${target.name} and ${there} on ${vm.host}`,
        },
      ];
    });
  },
};

function mtuOf(machine: MachineFacts | undefined, nic: VmNic): number | undefined {
  if (nic.kind === 'bridge') return machine?.mtus.bridges[nic.sourceName];
  return nic.kind === 'network' ? machine?.mtus.networks[nic.sourceName] : undefined;
}
