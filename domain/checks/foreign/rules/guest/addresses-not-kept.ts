import { firstOf } from '../../../words.ts';
import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { staticInterfaces } from './static-addresses.ts';

/** A clone must not have them, and its own rule says so. */
export const addressesNotKept: ForeignRule<VmView, 'addresses-not-kept'> = {
  modes: moveOnly,
  outcomes: {
    'addresses-not-kept': {
      level: 'warning',
      meaning:
        'The guest has static addresses and is not converted, so nobody writes them into it anew: they are lost if its interfaces get other names or settings hang on the old card.',
      remedy: 'Let it be converted, or look at its addresses by its console after the move.',
    },
  },
  judge: ({ vm, request }) => {
    const addresses = staticInterfaces(vm).flatMap((each) =>
      each.addresses.map(({ address }) => address),
    );
    return request.convert === 'no' && addresses.length > 0
      ? [
          {
            code: 'addresses-not-kept',
            message: `${vm.name} has the static addresses ${firstOf(addresses)} and is not converted`,
          },
        ]
      : [];
  },
};
