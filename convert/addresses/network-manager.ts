/** NetworkManager's keyfiles: a profile follows the MAC instead of the name. */
import { createHash } from 'node:crypto';
import { changeOf, filesIn, labelOf, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles } from './guest-files.ts';
import { valuesOf, withKey, withoutKey } from './ini.ts';
import { gatewayOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

const folder = '/etc/NetworkManager/system-connections';
/** NetworkManager does not read keyfiles that others could. */
const mode = 0o600;

/** Profiles without a name and a MAC serve any interface: they are left as they are. */
export function networkManagerChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  const profiles = filesIn(files, folder).filter((path) => isEthernet(files.get(path) ?? ''));
  return interfaces.flatMap((one) => {
    const own = `${folder}/vmferry-${labelOf(one)}.nmconnection`;
    const mine = profiles.filter((path) => isFor(files.get(path) ?? '', one));
    if (mine.length > 0) {
      return mine.flatMap((path) => changeOf(files, path, byMac(files.get(path) ?? '', one), mode));
    }
    return one.addresses.length === 0 ? [] : changeOf(files, own, profile(one), mode);
  });
}

/** Whether a guest has profiles of this kind: only then may one be added. */
export const usesKeyfiles = (files: GuestFiles): boolean =>
  filesIn(files, folder).length > 0 || files.has('/etc/NetworkManager/NetworkManager.conf');

const isEthernet = (text: string): boolean =>
  valuesOf(text, 'connection', 'type').some(
    (type) => type === 'ethernet' || type === '802-3-ethernet',
  );

const section = (text: string): string =>
  /^\s*\[802-3-ethernet\]/m.test(text) ? '802-3-ethernet' : 'ethernet';

const isFor = (text: string, { mac, name }: KeptInterface): boolean =>
  valuesOf(text, 'connection', 'interface-name').includes(name) ||
  valuesOf(text, section(text), 'mac-address').some((value) => value.toLowerCase() === mac);

function byMac(text: string, { mac }: KeptInterface): string {
  const known = valuesOf(text, section(text), 'mac-address').map((value) => value.toLowerCase());
  const nameless = withoutKey(text, 'connection', 'interface-name');
  return known.includes(mac)
    ? nameless
    : withKey(nameless, section(text), { key: 'mac-address', value: mac.toUpperCase() });
}

function profile(one: KeptInterface): string {
  const { mac, name } = one;
  return `${ownHeader}[connection]
id=vmferry-${labelOf(one)}
uuid=${uuidOf(`${mac} ${name}`)}
type=ethernet

[ethernet]
mac-address=${mac.toUpperCase()}

[ipv4]
${family(one, 4)}
[ipv6]
${family(one, 6)}`;
}

function family(one: KeptInterface, version: 4 | 6): string {
  const addresses = one.addresses.filter((address) => address.family === version);
  // As NetworkManager's own: router advertisements where no address was set by hand.
  if (addresses.length === 0) return `method=${version === 4 ? 'disabled' : 'auto'}\n`;
  const gateway = gatewayOf(one, version);
  const dns = one.dns.filter((server) => server.includes(':') === (version === 6));
  const lines = [
    'method=manual',
    ...addresses.map(({ address, prefix }, index) => `address${index + 1}=${address}/${prefix}`),
    ...(gateway === undefined ? [] : [`gateway=${gateway}`]),
    ...(dns.length === 0 ? [] : [`dns=${dns.join(';')};`]),
    ...(one.searchDomains.length === 0 ? [] : [`dns-search=${one.searchDomains.join(';')};`]),
  ];
  return `${lines.join('\n')}\n`;
}

/** The same each time, so that the file is. */
function uuidOf(text: string): string {
  const hash = createHash('sha256').update(`vmferry network ${text}`).digest('hex');
  return [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `8${hash.slice(17, 20)}`,
    hash.slice(20, 32),
  ].join('-');
}
