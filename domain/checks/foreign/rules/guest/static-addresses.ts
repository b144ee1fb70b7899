/** What a guest said of its own network. */
import type { ForeignVm, GuestInterface } from '../../../../foreign.ts';

/** Interfaces that have an address which no DHCP server gave. Some platforms do not tell where one is from. */
export const staticInterfaces = ({
  guestNetwork,
}: Pick<ForeignVm, 'guestNetwork'>): GuestInterface[] =>
  guestNetwork.filter(({ addresses }) =>
    addresses.some(({ origin }) => origin === 'static' || origin === 'unknown'),
  );
