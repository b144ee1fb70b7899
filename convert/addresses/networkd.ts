/** systemd-networkd: a .network file that names an interface matches its MAC instead. */
import { changeOf, filesIn, labelOf, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { valuesOf, withKey, withLines, withoutKey, withoutSections } from './ini.ts';
import { familiesOf, gatewayOf, versionOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

const folder = '/etc/systemd/network';

export const usesNetworkd = (files: GuestFiles): boolean =>
  filesIn(files, folder, '.network').length > 0;

/** Files that match by pattern, driver or anything else than one plain name are left as they are. */
export function networkdChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  const networks = filesIn(files, folder, '.network');
  return interfaces.flatMap((one) => {
    const byName = networks.filter((path) =>
      sameList(valuesOf(files.get(path) ?? '', 'Match', 'Name'), one.name),
    );
    if (byName.length > 0) {
      return byName.flatMap((path) => changeOf(files, path, byMac(files.get(path) ?? '', one)));
    }
    const own = `${folder}/05-vmferry-${labelOf(one)}.network`;
    const served = networks.some((path) => path !== own && isFor(files.get(path) ?? '', one));
    // One for any card is read after ours.
    const isServed = served && one.set === undefined;
    return isServed || one.addresses.length === 0 ? [] : changeOf(files, own, network(one));
  });
}

const sameList = (values: readonly string[], name: string): boolean =>
  name !== '' && values.length === 1 && values[0] === name;

/** By MAC, by a list of names or by a pattern such as `en*`. */
function isFor(text: string, { mac, name }: KeptInterface): boolean {
  const macs = valuesOf(text, 'Match', 'MACAddress').join(' ').toLowerCase().split(/\s+/);
  const names = valuesOf(text, 'Match', 'Name').join(' ').split(/\s+/);
  return macs.includes(mac) || names.some((pattern) => matches(pattern, name));
}

function matches(pattern: string, name: string): boolean {
  if (pattern === '') return false;
  const star = pattern.indexOf('*');
  return star === -1 ? pattern === name : name.startsWith(pattern.slice(0, star));
}

const byMac = (text: string, { mac }: KeptInterface): string =>
  withKey(withoutKey(text, 'Match', 'Name'), 'Match', { key: 'MACAddress', value: mac });

function network(one: KeptInterface): string {
  const gateways = ([4, 6] as const).map((family) => gatewayOf(one, family));
  const lines = [
    ...one.addresses.map(({ address, prefix }) => `Address=${address}/${prefix}`),
    ...gateways.flatMap((gateway) => (gateway === undefined ? [] : [`Gateway=${gateway}`])),
    ...one.dns.map((server) => `DNS=${server}`),
    ...(one.searchDomains.length === 0 ? [] : [`Domains=${one.searchDomains.join(' ')}`]),
  ];
  return `${ownHeader}[Match]\nMACAddress=${one.mac}\n\n[Network]\n${lines.join('\n')}\n`;
}

/** In each file that is for it alone. */
export function networkdSet(files: GuestFiles, one: KeptInterface): SetAnswer {
  const mine = filesIn(files, folder, '.network').filter((path) => {
    const text = files.get(path) ?? '';
    const macs = valuesOf(text, 'Match', 'MACAddress').map((mac) => mac.toLowerCase());
    return sameList(valuesOf(text, 'Match', 'Name'), one.name) || sameList(macs, one.mac);
  });
  if (mine.length === 0) return 'not-here';
  const isPart = mine.some((path) =>
    ['Bridge', 'Bond'].some((key) => valuesOf(files.get(path) ?? '', 'Network', key).length > 0),
  );
  if (isPart) return 'part';
  return mine.flatMap((path) => changeOf(files, path, withNetwork(files.get(path) ?? '', one)));
}

function withNetwork(text: string, one: KeptInterface): string {
  const families = familiesOf(one);
  const isSet = (value: string): boolean => families.includes(versionOf(value));
  const gateways = families.flatMap((family) => gatewayOf(one, family) ?? []);
  const hasGateway = (value: string): boolean =>
    gateways.some((gateway) => versionOf(gateway) === versionOf(value));
  const staying = (key: string, goes: (value: string) => boolean): string[] =>
    valuesOf(text, 'Network', key).filter((value) => !goes(value));
  const dhcp = dhcpWithout(valuesOf(text, 'Network', 'DHCP').at(-1), families);
  const lines = [
    ...(dhcp === undefined ? [] : [`DHCP=${dhcp}`]),
    ...one.addresses.map(({ address, prefix }) => `Address=${address}/${prefix}`),
    ...staying('Address', isSet).map((value) => `Address=${value}`),
    ...gateways.map((gateway) => `Gateway=${gateway}`),
    ...staying('Gateway', hasGateway).map((value) => `Gateway=${value}`),
    ...(one.set?.dns === true ? one.dns : staying('DNS', () => false)).map((dns) => `DNS=${dns}`),
  ];
  const bare = ['DHCP', 'Address', 'Gateway', 'DNS'].reduce(
    (now, key) => withoutKey(now, 'Network', key),
    text,
  );
  const plain = withoutSections(
    withoutSections(bare, 'Address', (section) =>
      valuesOf(section, 'Address', 'Address').some(isSet),
    ),
    'Route',
    (section) =>
      valuesOf(section, 'Route', 'Destination').every((to) => /^(?:0\.0\.0\.0|::)\/0$/.test(to)) &&
      valuesOf(section, 'Route', 'Gateway').some(hasGateway),
  );
  return withLines(plain, 'Network', lines);
}

/** Undefined: the file says nothing of it. */
function dhcpWithout(value: string | undefined, families: readonly (4 | 6)[]): string | undefined {
  if (value === undefined) return undefined;
  const is = {
    4: /^(?:yes|true|on|1|both|ipv4)$/i.test(value),
    6: /^(?:yes|true|on|1|both|ipv6)$/i.test(value),
  };
  const left = ([4, 6] as const).filter((family) => is[family] && !families.includes(family));
  const [only] = left;
  if (only === undefined) return 'no';
  return left.length === 2 ? value : `ipv${only}`;
}
