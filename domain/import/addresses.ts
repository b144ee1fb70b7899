/** Addresses of the guest's cards that a person gives in place of those it has. */
import ip from 'ipaddr.js';
import type { ForeignVm } from '../foreign.ts';
import type { AddressWish, ImportRequest } from '../import.ts';
import { broughtCards } from './networks.ts';

export type Family = 4 | 6;

export interface NetworkAddress {
  /** In one spelling. */
  address: string;
  prefix: number;
  family: Family;
}

/** Ranges in which no guest's card has an address of its own. */
const unfit = ['unspecified', 'multicast', 'linkLocal', 'loopback', 'broadcast', 'ipv4Mapped'];

/** In one spelling; undefined for what no card could have. */
export function plainAddress(text: string): { address: string; family: Family } | undefined {
  const family = ip.IPv4.isValidFourPartDecimal(text) ? 4 : 6;
  // A zone is of one machine alone.
  if (family === 6 && (text.includes('%') || !ip.IPv6.isValid(text))) return undefined;
  const parsed = ip.parse(text);
  return unfit.includes(parsed.range()) ? undefined : { address: parsed.toString(), family };
}

/** `198.51.100.20/24`; undefined for what is none, or the first or last address of its network. */
export function networkAddress(text: string): NetworkAddress | undefined {
  const [, address = '', digits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const found = plainAddress(address);
  const prefix = Number(digits);
  if (found === undefined || prefix < 1 || prefix > (found.family === 4 ? 32 : 128))
    return undefined;
  if (found.family === 4 && prefix < 31) {
    const ends = [ip.IPv4.networkAddressFromCIDR(text), ip.IPv4.broadcastAddressFromCIDR(text)];
    if (ends.some((end) => end.toString() === found.address)) return undefined;
  }
  return { ...found, prefix };
}

/** Whether `gateway` is beside one of the addresses. */
function reaches(addresses: readonly NetworkAddress[], gateway: string): boolean {
  const to = plainAddress(gateway);
  if (to === undefined) return false;
  return addresses.some(
    ({ address, prefix, family }) =>
      family === to.family &&
      address !== to.address &&
      ip.parse(to.address).match([ip.parse(address), prefix]),
  );
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 100));

/** Why addresses that were asked for cannot be set, each a clause; none if they can. */
export function addressTroubles(
  vm: ForeignVm,
  { shape, convert }: Pick<ImportRequest, 'shape' | 'convert'>,
): string[] {
  const wishes = shape.addresses ?? [];
  if (wishes.length === 0) return [];
  if (convert === 'no') return [`${vm.name} is not converted, and nothing is written into it`];
  if (vm.guestFamily === 'other')
    return [
      `which system ${vm.name} has is not known, or none in which they can be set: say --os if it is a Linux or a Windows`,
    ];
  const cards = broughtCards(vm, shape).map(({ key }) => key);
  const keys = wishes.map(({ key }) => key);
  const all = wishes.flatMap(({ addresses }) => addresses);
  const twice = all.find((address, index) => all.indexOf(address) !== index);
  return [
    ...wishes.flatMap((wish, index) => {
      const card = `card ${quoted(wish.key)} of ${vm.name}`;
      if (!cards.includes(wish.key)) return [`${vm.name} brings no card ${quoted(wish.key)}`];
      if (keys.indexOf(wish.key) !== index) return [`${card} is named twice`];
      return troublesOf(vm, wish).map((trouble) => `${card}: ${trouble}`);
    }),
    ...(twice === undefined ? [] : [`${vm.name} would have the address ${quoted(twice)} twice`]),
  ];
}

function troublesOf(vm: ForeignVm, wish: AddressWish): string[] {
  const { addresses, gateways = [], dns = [] } = wish;
  const networks = addresses.flatMap((text) => networkAddress(text) ?? []);
  if (addresses.length === 0) return ['a gateway or a name server alone is not set'];
  return [
    ...addresses
      .filter((text) => networkAddress(text) === undefined)
      .map((text) => `${quoted(text)} is no address of a card with its prefix`),
    ...gateways
      .filter((text) => !reaches(networks, text))
      .map((text) => `the gateway ${quoted(text)} is beside none of its addresses`),
    ...dns
      .filter((text) => plainAddress(text) === undefined)
      .map((text) => `${quoted(text)} is no address of a name server`),
    ...(vm.guestFamily === 'windows' ? windowsTroubles(vm, wish, networks) : []),
  ];
}

/** As `virt-v2v --mac` has it: an address of each family, with its gateway. */
function windowsTroubles(
  vm: ForeignVm,
  wish: AddressWish,
  networks: readonly NetworkAddress[],
): string[] {
  const gateways = gatewaysFor(vm, wish);
  return ([4, 6] as const).flatMap((family) => {
    const own = networks.filter((one) => one.family === family);
    const first = own[0];
    if (first === undefined) return [];
    if (own.length > 1) return [`a Windows is given one IPv${family} address only`];
    return gateways.some((gateway) => reaches([first], gateway))
      ? []
      : [`a Windows is given ${first.address} only together with a gateway beside it`];
  });
}

/** Those that were asked for; else those that the guest told and that are beside its new addresses. */
export function gatewaysFor(vm: Pick<ForeignVm, 'nics' | 'guestNetwork'>, wish: AddressWish) {
  if (wish.gateways !== undefined) return wish.gateways;
  const networks = wish.addresses.flatMap((text) => networkAddress(text) ?? []);
  const mac = vm.nics.find(({ key }) => key === wish.key)?.mac.toLowerCase();
  return vm.guestNetwork
    .filter((one) => one.mac.toLowerCase() === mac)
    .flatMap(({ gateways }) => gateways)
    .filter((gateway) => reaches(networks, gateway));
}
