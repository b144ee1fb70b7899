import { networkAddress } from '../../../../import/addresses.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchEntry, BatchView } from '../../views.ts';
import { findings, repeated } from './repeated.ts';

/** Given ones alone: what guests have told of their own may be on networks that never meet. */
const addressesOf = ({ request }: BatchEntry): string[] =>
  (request.shape.addresses ?? [])
    .flatMap(({ addresses }) => addresses)
    .flatMap((text) => networkAddress(text)?.address ?? []);

export const addressShared: ForeignRule<BatchView, 'address-shared'> = {
  modes: everyMode,
  outcomes: {
    'address-shared': {
      level: 'critical',
      meaning: 'Two guests would be given one IP address.',
      remedy: 'Give one of them another one: --addresses.',
    },
  },
  judge: ({ entries }) =>
    findings(
      'address-shared',
      repeated(entries, addressesOf),
      (address, vms) => `several VMs would be given the address ${address}: ${vms}`,
    ),
};
