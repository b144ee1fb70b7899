/** Which network of the target each card of a foreign VM comes to. */
import type { ForeignNic, ForeignVm } from '../foreign.ts';
import type { HostFacts } from '../host.ts';
import type { ImportRequest, ImportShape, NetworkChoice } from '../import.ts';

type Maps = Pick<ImportRequest, 'networks' | 'defaultNetwork'>;

/** Undefined: nothing says where the card goes. Without a card it is the one of a VM that had none. */
export function networkFor(
  nic: Pick<ForeignNic, 'network'> | undefined,
  { networks, defaultNetwork }: Maps,
): NetworkChoice | undefined {
  // A foreign network may be called like something that every object has.
  const mapped = nic !== undefined && Object.hasOwn(networks, nic.network);
  return mapped ? networks[nic.network] : defaultNetwork;
}

export interface ChosenNetwork {
  kind: 'bridge' | 'network';
  name: string;
}

export function networkOf(choice: NetworkChoice): ChosenNetwork {
  const at = choice.indexOf(':');
  const kind = choice.slice(0, at) === 'bridge' ? 'bridge' : 'network';
  return { kind, name: choice.slice(at + 1) };
}

/** Whether the target has it now. */
export const hasNetwork = (
  { kind, name }: ChosenNetwork,
  { bridges, networks }: Pick<HostFacts, 'bridges' | 'networks'>,
): boolean => (kind === 'bridge' ? bridges : networks).includes(name);

/** The VM's cards that come along, in their order on the target. */
export const broughtCards = (
  { nics }: Pick<ForeignVm, 'nics'>,
  { nics: wished }: Pick<ImportShape, 'nics'>,
): ForeignNic[] =>
  wished === undefined
    ? nics
    : wished.flatMap((wish) => nics.find(({ key }) => key === wish.key) ?? []);

/** The same, or the one that a VM without any gets: a guest without a card is out of reach for ever. */
export function cardsOf(
  vm: Pick<ForeignVm, 'nics'>,
  shape: Pick<ImportShape, 'nics'>,
): (ForeignNic | undefined)[] {
  const brought = broughtCards(vm, shape);
  return brought.length === 0 ? [undefined] : brought;
}
