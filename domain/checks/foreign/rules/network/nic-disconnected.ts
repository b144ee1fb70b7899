import { broughtCards } from '../../../../import/networks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { counted } from '../../words.ts';

export const nicDisconnected: ForeignRule<VmView, 'nic-disconnected'> = {
  modes: everyMode,
  outcomes: {
    'nic-disconnected': {
      level: 'information',
      meaning: 'A network card is unplugged at the source, and comes unplugged.',
      remedy: 'Nothing to do; virsh domif-setlink plugs it in.',
    },
  },
  judge: ({ vm, request }) => {
    const number = broughtCards(vm, request.shape).filter(({ connected }) => !connected).length;
    return number === 0
      ? []
      : [
          {
            code: 'nic-disconnected',
            message: `${counted(number, 'card', 'cards')} of ${vm.name} ${number === 1 ? 'is' : 'are'} unplugged at the source`,
          },
        ];
  },
};
