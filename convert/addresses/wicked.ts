/** SUSE's wicked: by name only, kept by `rename.ts`; LLADDR would *set* a MAC. Only what nobody configured is added. */
import { changeOf, filesIn, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { familiesOf, gatewayOf, versionOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';
import { valueIn, valuesLike, withoutLike, withValue } from './sysconfig.ts';

const folder = '/etc/sysconfig/network';

export const usesWicked = (files: GuestFiles): boolean =>
  filesIn(files, folder).some(
    (path) => path.startsWith(`${folder}/ifcfg-`) || path === `${folder}/config`,
  );

export function wickedChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  return interfaces
    .filter(({ name, addresses }) => addresses.length > 0 && !files.has(`${folder}/ifcfg-${name}`))
    .flatMap((one) => {
      const routes = ([4, 6] as const).flatMap((family) => {
        const gateway = gatewayOf(one, family);
        return gateway === undefined ? [] : [`default ${gateway} - ${one.name}\n`];
      });
      return [
        ...changeOf(files, `${folder}/ifcfg-${one.name}`, ownFile(one)),
        ...(routes.length === 0
          ? []
          : changeOf(files, `${folder}/ifroute-${one.name}`, ownHeader + routes.join(''))),
      ];
    });
}

const ownFile = (one: KeptInterface): string =>
  `${ownHeader}BOOTPROTO='static'\nSTARTMODE='auto'\n${addressLines(one).join('\n')}\n`;

const addressLines = ({ addresses }: KeptInterface): string[] =>
  addresses.map(({ address, prefix }, index) => {
    const suffix = index === 0 ? '' : `_${index}`;
    return `IPADDR${suffix}='${address}/${prefix}'`;
  });

const addressKey = /^IPADDR(?:_\w+)?$/;

/** Name servers are the machine's, not the card's. */
export function wickedSet(files: GuestFiles, one: KeptInterface): SetAnswer {
  const path = `${folder}/ifcfg-${one.name}`;
  const text = files.get(path);
  if (text === undefined) return 'not-here';
  if (isPart(files, one.name)) return 'part';
  const families = familiesOf(one);
  const staying = valuesLike(text, addressKey).filter(
    (value) => value !== '' && !families.includes(versionOf(value)),
  );
  const kept = staying.map((value, index) => `IPADDR_${one.addresses.length + index}='${value}'`);
  const bare = withoutLike(text, /^(?:BOOTPROTO|(?:IPADDR|PREFIXLEN|NETMASK|BROADCAST)(?:_\w+)?)$/);
  const gap = bare === '' || bare.endsWith('\n') ? '' : '\n';
  // What is not set stays with DHCP, where it was.
  const dhcp = dhcpLeft(valueIn(text, 'BOOTPROTO') ?? '', families);
  const lines = [`BOOTPROTO='${dhcp ?? 'static'}'`, ...addressLines(one), ...kept];
  return [
    ...changeOf(files, path, `${bare}${gap}${lines.join('\n')}\n`),
    ...routeChanges(files, one),
    ...dnsChanges(files, one),
  ];
}

function dhcpLeft(value: string, families: readonly (4 | 6)[]): string | undefined {
  const parts = value === 'dhcp' ? ['dhcp4', 'dhcp6'] : value.split('+');
  const left = ([4, 6] as const).filter(
    (family) => !families.includes(family) && parts.includes(`dhcp${family}`),
  );
  return left[0] === undefined ? undefined : `dhcp${left[0]}+static`;
}

function isPart(files: GuestFiles, name: string): boolean {
  return filesIn(files, folder)
    .filter((path) => path.startsWith(`${folder}/ifcfg-`))
    .flatMap((path) =>
      valuesLike(files.get(path) ?? '', /^(?:BRIDGE_PORTS|BONDING_SLAVE_?\d+|BONDING_SLAVE\d*)$/),
    )
    .some((ports) => ports.split(/\s+/).includes(name));
}

/** Default routes of the card, and those of the machine that are for no card in particular. */
function routeChanges(files: GuestFiles, one: KeptInterface): FileChange[] {
  const set = familiesOf(one).flatMap((family) => gatewayOf(one, family) ?? []);
  if (set.length === 0) return [];
  const goes = (line: string): boolean => {
    const [to = '', via = '', , on = '-'] = line.trim().split(/\s+/);
    const isDefault = /^(?:default|0\.0\.0\.0\/0|::\/0)$/.test(to);
    const isOfIt = on === '-' || on === one.name;
    return isDefault && isOfIt && set.some((gateway) => versionOf(gateway) === versionOf(via));
  };
  const without = (text: string): string =>
    text
      .split('\n')
      .filter((line) => !goes(line))
      .join('\n');
  const own = `${folder}/ifroute-${one.name}`;
  const all = files.get(`${folder}/routes`);
  const lines = set.map((gateway) => `default ${gateway} - ${one.name}\n`);
  return [
    ...changeOf(files, own, lines.join('') + without(files.get(own) ?? '')),
    ...(all === undefined ? [] : changeOf(files, `${folder}/routes`, without(all))),
  ];
}

function dnsChanges(files: GuestFiles, { set, dns }: KeptInterface): FileChange[] {
  const path = `${folder}/config`;
  const text = files.get(path);
  if (set?.dns !== true || text === undefined) return [];
  const key = 'NETCONFIG_DNS_STATIC_SERVERS';
  const value = dns.join(' ');
  return valueIn(text, key) === value
    ? []
    : changeOf(files, path, withValue(text, key, `"${value}"`));
}
