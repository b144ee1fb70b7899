/** What VMware Tools said of the guest's network; vSphere keeps it only while the guest runs. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import { isIP } from 'node:net';
import type { GuestInterface } from '../../domain/foreign.ts';
import { childOf, childrenOf, textOf } from '../../protocols/soap/index.ts';
import { macOf } from './devices.ts';
import { countAt, plainText } from './numbers.ts';

type Origin = GuestInterface['addresses'][number]['origin'];

const origins: Readonly<Record<string, Origin>> = {
  manual: 'static',
  dhcp: 'dhcp',
  linklayer: 'linklayer',
};
const mostInterfaces = 64;
const mostOfEach = 64;

/** `net` and `stacks` are `guest.net` and `guest.ipStack`. Cards without a MAC (those the guest made) are left out. */
export function guestNetworkOf(
  net: XmlElement | undefined,
  stacks: XmlElement | undefined,
): GuestInterface[] {
  const [stack] = childrenOf(stacks);
  const routes = childrenOf(childOf(stack, 'ipRouteConfig'), 'ipRoute');
  return childrenOf(net)
    .slice(0, mostInterfaces)
    .map((card, index) => ({
      mac: macOf(textOf(card, 'macAddress')),
      // vSphere does not tell it.
      name: '',
      addresses: addressesOf(card),
      gateways: gatewaysOf(routes, index),
      dns: addressList(childOf(card, 'dnsConfig') ?? childOf(stack, 'dnsConfig'), 'ipAddress'),
      searchDomains: textList(
        childOf(card, 'dnsConfig') ?? childOf(stack, 'dnsConfig'),
        'searchDomain',
      ),
    }))
    .filter(({ mac }) => mac !== '');
}

const addressesOf = (card: XmlElement): GuestInterface['addresses'] =>
  childrenOf(childOf(card, 'ipConfig'), 'ipAddress')
    .slice(0, mostOfEach)
    .map((entry) => ({
      address: textOf(entry, 'ipAddress'),
      prefix: countAt(entry, 'prefixLength'),
      origin: origins[textOf(entry, 'origin')] ?? ('unknown' as const),
    }))
    .filter(
      ({ address, prefix }) => isIP(address) !== 0 && prefix <= (isIP(address) === 4 ? 32 : 128),
    );

/** Default routes name their card by its place among those told. */
const gatewaysOf = (routes: readonly XmlElement[], index: number): string[] =>
  routes
    .filter(
      (route) =>
        ['0.0.0.0', '::'].includes(textOf(route, 'network')) &&
        countAt(route, 'prefixLength') === 0 &&
        textOf(route, 'gateway', 'device') === String(index),
    )
    .map((route) => textOf(route, 'gateway', 'ipAddress'))
    .filter((address) => isIP(address) !== 0)
    .slice(0, mostOfEach);

const addressList = (parent: XmlElement | undefined, name: string): string[] =>
  textList(parent, name).filter((address) => isIP(address) !== 0);

const textList = (parent: XmlElement | undefined, name: string): string[] =>
  childrenOf(parent, name)
    .slice(0, mostOfEach)
    .map((element) => plainText(element.text.trim()))
    .filter((text) => text !== '');
