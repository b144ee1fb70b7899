/** NetworkManager's keyfiles: a profile follows the MAC instead of the name. */
import { createHash } from 'node:crypto';
import { changeOf, filesIn, labelOf, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { valuesOf, withKey, withoutKey } from './ini.ts';
import { familiesOf, gatewayOf } from './interfaces.ts';
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
${one.set === undefined ? '' : '# Before profiles for any card.\nautoconnect-priority=100\n'}
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

/** In each profile that is for it. Routes by the old gateway go with it. */
export function networkManagerSet(files: GuestFiles, one: KeptInterface): SetAnswer {
  const mine = filesIn(files, folder).filter((path) => {
    const text = files.get(path) ?? '';
    return isEthernet(text) && isFor(text, one);
  });
  if (mine.length === 0) return 'not-here';
  const isPart = mine.some((path) =>
    ['master', 'controller'].some(
      (key) => valuesOf(files.get(path) ?? '', 'connection', key).join('') !== '',
    ),
  );
  if (isPart) return 'part';
  return mine.flatMap((path) =>
    changeOf(
      files,
      path,
      familiesOf(one).reduce(
        (text, version) => withFamily(text, one, version),
        files.get(path) ?? '',
      ),
      mode,
    ),
  );
}

function withFamily(text: string, one: KeptInterface, version: 4 | 6): string {
  const section = version === 4 ? 'ipv4' : 'ipv6';
  const gateway = gatewayOf(one, version);
  const dns = one.dns.filter((server) => server.includes(':') === (version === 6));
  const addresses = one.addresses.filter((address) => address.family === version);
  const gone = [...text.matchAll(/^[ \t]*((?:address(?:es)?|route)\d*)[ \t]*=/gm)].map(
    ([, key = '']) => key,
  );
  const entries = [
    { key: 'method', value: 'manual' },
    ...addresses.map(({ address, prefix }, index) => ({
      key: `address${index + 1}`,
      value: `${address}/${prefix}`,
    })),
    ...(gateway === undefined ? [] : [{ key: 'gateway', value: gateway }]),
    ...(one.set?.dns === true && dns.length > 0
      ? [{ key: 'dns', value: `${dns.join(';')};` }]
      : []),
  ];
  const same = entries.every(({ key, value }) => valuesOf(text, section, key).join('\n') === value);
  const extra = gone.filter(
    (key) => valuesOf(text, section, key).length > 0 && !entries.some((entry) => entry.key === key),
  );
  if (same && extra.length === 0) return text;
  // Of old an address has its gateway behind it.
  const behind = valuesOf(text, section, 'address1')[0]?.split(',')[1];
  const cleared = [...gone, ...entries.map(({ key }) => key)].reduce(
    (now, key) => withoutKey(now, section, key),
    text,
  );
  const all =
    gateway === undefined && behind !== undefined
      ? [...entries, { key: 'gateway', value: behind }]
      : entries;
  return all.toReversed().reduce((now, entry) => withKey(now, section, entry), cleared);
}
