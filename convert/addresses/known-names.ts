/** Which card has which name in a guest, where its platform did not say. */
import { claimsOf } from './claims.ts';
import type { Claim } from './claims.ts';
import type { GuestFiles } from './guest-files.ts';
import { isInterfaceName } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

/** As kernel and udev name cards: what is built upon them (bonds, bridges, VLANs, aliases) has other names. */
const cardName = /^(?:eth\d{1,3}|en[ospx][A-Za-z0-9]{1,12}|em\d{1,2}|p\d{1,2}p\d{1,2})$/;

export const isCardName = (name: string): boolean => cardName.test(name) && isInterfaceName(name);

const isCard = ({ name }: Claim): boolean => isCardName(name);

/**
 * The same interfaces, with the names that the guest's files have for them: by the MAC, by an address, and at last the one
 * name that is left for the one card that is left. Nothing is guessed: `name` stays empty where the files do not tell.
 * `interfaces` are all the VM's cards.
 */
export function withKnownNames(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): KeptInterface[] {
  const claims = claimsOf(files);
  const cards = claims.filter(isCard);
  const named = [...interfaces];
  const taken = (): Set<string> => new Set(named.map(({ name }) => name));
  const give = (isFor: (one: KeptInterface, card: Claim) => boolean): void => {
    for (const [at, one] of named.entries()) {
      if (one.name !== '') continue;
      const others = taken();
      const names = new Set(cards.filter((card) => isFor(one, card)).map(({ name }) => name));
      const [name, ...more] = [...names].filter((each) => !others.has(each));
      if (name !== undefined && more.length === 0) named[at] = { ...one, name };
    }
  };
  give(({ mac }, card) => card.mac === mac);
  give(({ had = [] }, card) => card.addresses.some((address) => had.includes(address)));
  const nameless = named.filter(({ name }) => name === '').length;
  if (nameless === 1) give(({ name }, card) => name === '' && card.mac === '');
  return named;
}

/** Of those, the ones that the guest's files set already, for whatever they set it: a card, a bridge above it. */
export const statedIn = (files: GuestFiles, addresses: readonly string[]): string[] => {
  const stated = new Set(claimsOf(files).flatMap((claim) => claim.addresses));
  return addresses.filter((address) => stated.has(address));
};

/** Names of cards in the guest's files that none of the interfaces has. */
export const namesLeft = (files: GuestFiles, interfaces: readonly KeptInterface[]): string[] => {
  const taken = new Set(interfaces.map(({ name }) => name));
  const names = claimsOf(files)
    .filter(isCard)
    .map(({ name }) => name);
  return [...new Set(names)].filter((name) => !taken.has(name));
};
