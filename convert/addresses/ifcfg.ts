/** Red Hat's ifcfg files: HWADDR ties one to a MAC, for the old scripts and for NetworkManager alike. */
import { changeOf, filesIn, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { familiesOf, gatewayOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';
import { valueIn, withoutLike, withValue } from './sysconfig.ts';

const folder = '/etc/sysconfig/network-scripts';

const paths = (files: GuestFiles): string[] =>
  filesIn(files, folder).filter((path) => /\/ifcfg-(?!lo$)[^/]+$/.test(path));

export const usesIfcfg = (files: GuestFiles): boolean => paths(files).length > 0;

export function ifcfgChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  return interfaces.flatMap((one) => {
    const mine = paths(files).filter((path) => isFor(path, files.get(path) ?? '', one));
    if (mine.length > 0) {
      return mine.flatMap((path) =>
        changeOf(files, path, withValue(files.get(path) ?? '', 'HWADDR', one.mac)),
      );
    }
    return one.addresses.length === 0
      ? []
      : changeOf(files, `${folder}/ifcfg-${one.name}`, ownFile(one));
  });
}

/** An alias (`ifcfg-eth0:1`) and a VLAN have names of their own and follow their parent. */
function isFor(path: string, text: string, { mac, name }: KeptInterface): boolean {
  const device = valueIn(text, 'DEVICE');
  if (device !== undefined && device !== name) return false;
  const named = device === name || path.endsWith(`/ifcfg-${name}`);
  return named || valueIn(text, 'HWADDR')?.toLowerCase() === mac;
}

function ownFile(one: KeptInterface): string {
  const lines = [
    ...[`DEVICE=${one.name}`, `HWADDR=${one.mac}`, 'TYPE=Ethernet', 'ONBOOT=yes'],
    ...(one.addresses.some(({ family }) => family === 4) ? [] : ['BOOTPROTO=none']),
    ...addressLines(one),
    ...dnsLines(one),
    ...(one.searchDomains.length === 0 ? [] : [`DOMAIN="${one.searchDomains.join(' ')}"`]),
  ];
  return `${ownHeader}${lines.join('\n')}\n`;
}

function addressLines(one: KeptInterface): string[] {
  const of = (family: 4 | 6) => one.addresses.filter((address) => address.family === family);
  const [ipv4, ipv6] = [of(4), of(6)];
  const [gateway4, gateway6] = [gatewayOf(one, 4), gatewayOf(one, 6)];
  const [first, ...others] = ipv6.map(({ address, prefix }) => `${address}/${prefix}`);
  return [
    ...(ipv4.length === 0 ? [] : ['BOOTPROTO=none']),
    ...ipv4.flatMap(({ address, prefix }, index) => {
      // The first has no number.
      const suffix = index === 0 ? '' : String(index);
      return [`IPADDR${suffix}=${address}`, `PREFIX${suffix}=${prefix}`];
    }),
    ...(gateway4 === undefined ? [] : [`GATEWAY=${gateway4}`]),
    ...(first === undefined ? [] : ['IPV6INIT=yes', 'IPV6_AUTOCONF=no', `IPV6ADDR=${first}`]),
    ...(others.length === 0 ? [] : [`IPV6ADDR_SECONDARIES="${others.join(' ')}"`]),
    ...(gateway6 === undefined ? [] : [`IPV6_DEFAULTGW=${gateway6}`]),
  ];
}

const dnsLines = ({ dns }: KeptInterface): string[] =>
  dns.map((server, index) => `DNS${index + 1}=${server}`);

/** In each file that is for it. */
export function ifcfgSet(files: GuestFiles, one: KeptInterface): SetAnswer {
  const mine = paths(files).filter((path) => isFor(path, files.get(path) ?? '', one));
  if (mine.length === 0) return 'not-here';
  const isPart = mine.some((path) =>
    ['MASTER', 'BRIDGE', 'TEAM_MASTER'].some((key) => valueIn(files.get(path) ?? '', key)),
  );
  if (isPart) return 'part';
  return mine.flatMap((path) => {
    const bare = gone(one).reduce(withoutLike, files.get(path) ?? '');
    const lines = [...addressLines(one), ...(one.set?.dns === true ? dnsLines(one) : [])];
    const gap = bare === '' || bare.endsWith('\n') ? '' : '\n';
    return changeOf(files, path, `${bare}${gap}${lines.join('\n')}\n`);
  });
}

function gone(one: KeptInterface): RegExp[] {
  const kinds = {
    4: [/^(?:BOOTPROTO|(?:IPADDR|PREFIX|NETMASK|BROADCAST|NETWORK)\d*)$/, /^GATEWAY\d*$/],
    6: [/^(?:IPV6INIT|IPV6_AUTOCONF|DHCPV6C|IPV6ADDR|IPV6ADDR_SECONDARIES)$/, /^IPV6_DEFAULTGW$/],
  } as const;
  return [
    ...familiesOf(one).flatMap((family) => {
      const [addresses, gateway] = kinds[family];
      return gatewayOf(one, family) === undefined ? [addresses] : [addresses, gateway];
    }),
    ...(one.set?.dns === true ? [/^DNS\d+$/] : []),
  ];
}
