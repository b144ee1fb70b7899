/** systemd-networkd: a .network file that names an interface matches its MAC instead. */
import { changeOf, filesIn, labelOf, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles } from './guest-files.ts';
import { valuesOf, withKey, withoutKey } from './ini.ts';
import { gatewayOf } from './interfaces.ts';
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
    return served || one.addresses.length === 0 ? [] : changeOf(files, own, network(one));
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
