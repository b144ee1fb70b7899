import { cardsOf, networkFor } from '../../../../import/networks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { RequestView } from '../../views.ts';
import { quoted } from '../../words.ts';

export const networkUnmapped: ForeignRule<RequestView, 'network-unmapped'> = {
  modes: everyMode,
  outcomes: {
    'network-unmapped': {
      level: 'critical',
      meaning: 'Nothing says which network of the target a card of the VM comes to.',
      remedy:
        'Say it: --map-network SOURCE=bridge:NAME or SOURCE=network:NAME; or --default-network for all that are not named.',
    },
  },
  judge: ({ vm, request }) => {
    const unmapped = cardsOf(vm, request.shape).filter(
      (nic) => networkFor(nic, request) === undefined,
    );
    // Told once of a network, however many cards are on it.
    const names = new Set(unmapped.map((nic) => nic?.network));
    return [...names].map((name) => ({
      code: 'network-unmapped',
      message:
        name === undefined
          ? `${vm.name} has no network card, and no default network is named on which it gets one`
          : `the network ${quoted(name)} of ${vm.name} is mapped to nothing`,
    }));
  },
};
