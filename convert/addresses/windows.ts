/** Windows keeps addresses with the device, not with the MAC: a new NIC begins without. A script sets them at the first start. */
import { gatewayOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

/** How long the script waits for the driver of the NICs to come up, s. */
const driverLimitSeconds = 300;

/**
 * PowerShell that gives each MAC its addresses, gateways, name servers and search suffixes. Empty if there is nothing
 * to set. Safe to run twice. Values were checked by `checkInterfaces`: none can end a quoted string.
 */
export function windowsScript(interfaces: readonly KeptInterface[]): string {
  const wanted = interfaces.filter(({ addresses }) => addresses.length > 0);
  if (wanted.length === 0) return '';
  const lines = [
    '# Made by vmferry, which moved this machine: gives its interfaces the addresses that they had.',
    "$ErrorActionPreference = 'Continue'",
    `$limit = (Get-Date).AddSeconds(${driverLimitSeconds})`,
    `$macs = @(${wanted.map(({ mac }) => quoted(windowsMac(mac))).join(', ')})`,
    'while ((Get-Date) -lt $limit) {',
    '  $there = @(Get-NetAdapter -Physical | Where-Object { $macs -contains $_.MacAddress })',
    '  if ($there.Count -eq $macs.Count) { break }',
    '  Start-Sleep -Seconds 5',
    '}',
    ...wanted.flatMap(setOne),
  ];
  return lines.map((line) => `${line}\r\n`).join('');
}

const windowsMac = (mac: string): string => mac.toUpperCase().replaceAll(':', '-');
const quoted = (text: string): string => `'${text}'`;

function setOne(one: KeptInterface): string[] {
  const find = `Get-NetAdapter -Physical | Where-Object { $_.MacAddress -eq ${quoted(windowsMac(one.mac))} }`;
  const told = new Set<4 | 6>();
  const addresses = one.addresses.map(({ address, prefix, family }) => {
    const gateway = told.has(family) ? undefined : gatewayOf(one, family);
    told.add(family);
    const more = gateway === undefined ? '' : ` -DefaultGateway ${quoted(gateway)}`;
    return `  New-NetIPAddress -InterfaceIndex $index -IPAddress ${quoted(address)} -PrefixLength ${prefix}${more}`;
  });
  const [domain] = one.searchDomains;
  return [
    `$adapter = ${find} | Select-Object -First 1`,
    'if ($adapter) {',
    '  $index = $adapter.ifIndex',
    // A second New-NetIPAddress would fail on what the first one left.
    ...[...told].flatMap((family) => [
      `  Set-NetIPInterface -InterfaceIndex $index -AddressFamily IPv${family} -Dhcp Disabled`,
      `  Remove-NetIPAddress -InterfaceIndex $index -AddressFamily IPv${family} -Confirm:$false -ErrorAction SilentlyContinue`,
      `  Remove-NetRoute -InterfaceIndex $index -AddressFamily IPv${family} -Confirm:$false -ErrorAction SilentlyContinue`,
    ]),
    ...addresses,
    ...(one.dns.length === 0
      ? []
      : [
          `  Set-DnsClientServerAddress -InterfaceIndex $index -ServerAddresses @(${one.dns.map(quoted).join(', ')})`,
        ]),
    ...(domain === undefined
      ? []
      : [`  Set-DnsClient -InterfaceIndex $index -ConnectionSpecificSuffix ${quoted(domain)}`]),
    '}',
  ];
}

export interface WindowsArguments {
  args: string[];
  /** Addresses that cannot be given so. */
  left: string[];
}

/**
 * The same by virt-v2v's own first-boot script, as arguments of it: `--mac MAC:ip:ADDRESS,GATEWAY,PREFIX,DNS...`.
 * Without a gateway it takes no prefix, and it takes one address of each family for a gateway.
 */
export function windowsMacArguments(interfaces: readonly KeptInterface[]): WindowsArguments {
  const result: WindowsArguments = { args: [], left: [] };
  for (const one of interfaces) {
    const told = new Set<4 | 6>();
    for (const { address, prefix, family } of one.addresses) {
      const gateway = told.has(family) ? undefined : gatewayOf(one, family);
      if (gateway === undefined) {
        result.left.push(`${address}/${prefix}`);
        continue;
      }
      told.add(family);
      const dns = one.dns.filter((server) => server.includes(':') === (family === 6));
      result.args.push(
        '--mac',
        `${one.mac}:ip:${[address, gateway, String(prefix), ...dns].join(',')}`,
      );
    }
  }
  return result;
}
