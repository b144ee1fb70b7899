import { addressTroubles } from '../../../../import/addresses.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { RequestView } from '../../views.ts';

export const addressesUnfit: ForeignRule<RequestView, 'addresses-unfit'> = {
  modes: everyMode,
  outcomes: {
    'addresses-unfit': {
      level: 'critical',
      meaning:
        'An address that a card of the guest is to be given cannot be set: it is none, its gateway is not beside it, the card does not come, or nobody writes into such a guest.',
      remedy:
        'Correct --addresses, --gateways and --dns; `vmferry inspect` shows the keys of the cards.',
    },
  },
  judge: ({ vm, request }) =>
    addressTroubles(vm, request).map((message) => ({ code: 'addresses-unfit', message })),
};
