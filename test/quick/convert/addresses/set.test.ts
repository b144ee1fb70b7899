import fc from 'fast-check';
import { parse, stringify } from 'yaml';
import { describe, expect, it } from 'vitest';
import { checkInterfaces } from '../../../../convert/addresses/interfaces.ts';
import type { KeptInterface } from '../../../../convert/addresses/interfaces.ts';
import { linuxAddressPlan } from '../../../../convert/addresses/linux.ts';
import { windowsMacArguments } from '../../../../convert/addresses/windows.ts';
import { applied, asMap } from './samples.ts';

const mac = '00:50:56:aa:bb:01';
const otherMac = '00:50:56:aa:bb:02';
const said = { mac, name: '', gateways: [], dns: [], searchDomains: [] };
const had = { address: '198.51.100.20', prefix: 24, origin: 'unknown' } as const;

/** The card that had 198.51.100.20 and is given another address. */
const given = (
  set: { addresses: string[]; gateways?: string[]; dns?: string[] } = {
    addresses: ['203.0.113.7/25'],
    gateways: ['203.0.113.1'],
    dns: ['203.0.113.53'],
  },
): KeptInterface => {
  const [one] = checkInterfaces([{ ...said, addresses: [had], set }]).interfaces;
  return one!;
};
const other: KeptInterface = { ...given(), mac: otherMac, addresses: [], had: [], name: '' };
delete other.set;

function after(
  files: Record<string, string>,
  cards: readonly KeptInterface[] = [given()],
): Record<string, string> {
  const { changes, refused } = linuxAddressPlan(asMap(files), cards, true);
  expect(refused).toEqual([]);
  const now = applied(files, changes);
  expect(linuxAddressPlan(asMap(now), cards, true).changes).toEqual([]);
  return now;
}

const interfaces = '/etc/network/interfaces';
const profile = '/etc/NetworkManager/system-connections/Wired.nmconnection';
const plan = '/etc/netplan/50-cloud-init.yaml';
const network = '/etc/systemd/network/10-lan.network';
const ifcfg = '/etc/sysconfig/network-scripts/ifcfg-ens192';
const suse = '/etc/sysconfig/network/ifcfg-eth0';

describe('an address that a guest is given in place of its own', () => {
  it('stands in the stanza of ifupdown, and all else of it stays', () => {
    const text = `auto lo
iface lo inet loopback

# the office
allow-hotplug ens192
iface ens192 inet static
  address 198.51.100.20
  netmask 255.255.255.0
  gateway 198.51.100.1
  dns-nameservers 198.51.100.53
  mtu 9000
  post-up ip route add 192.0.2.0/24 via 198.51.100.2

iface ens192 inet6 auto
`;
    expect(after({ [interfaces]: text })[interfaces]).toBe(`auto lo
iface lo inet loopback

# the office
allow-hotplug ens192
iface ens192 inet static
    address 203.0.113.7/25
    gateway 203.0.113.1
    dns-nameservers 203.0.113.53
  mtu 9000
  post-up ip route add 192.0.2.0/24 via 198.51.100.2

iface ens192 inet6 auto
`);
  });

  it('takes the place of DHCP with ifupdown, and of all addresses of its family', () => {
    const text = 'auto ens192\niface ens192 inet dhcp\nauto ens192:0\niface ens192:0 inet dhcp\n';
    const [only] = [given({ addresses: ['203.0.113.7/25', '203.0.113.8/25', '2001:db8::7/64'] })];
    expect(after({ [interfaces]: text }, [only])[interfaces]).toBe(
      `auto ens192
iface ens192 inet static
    address 203.0.113.7/25
iface ens192 inet static
    address 203.0.113.8/25
iface ens192 inet6 static
    address 2001:db8::7/64
auto ens192:0
iface ens192:0 inet dhcp
`,
    );
  });

  it('stands in the entry of netplan, whose other family and routes stay', () => {
    const text = `# made by the installer
network:
  version: 2
  ethernets:
    ens192:
      mtu: 9000
      dhcp4: true
      addresses: ["198.51.100.20/24", "2001:db8::20/64"]
      gateway4: 198.51.100.1
      routes:
        - {to: default, via: 198.51.100.1}
        - {to: 192.0.2.0/24, via: 198.51.100.2}
      nameservers: {addresses: [198.51.100.53], search: [example.org]}
`;
    const now = after({ [plan]: text })[plan]!;
    expect(now).toContain('# made by the installer');
    expect(parse(now)).toEqual({
      network: {
        version: 2,
        ethernets: {
          ens192: {
            match: { macaddress: mac },
            'set-name': 'ens192',
            mtu: 9000,
            dhcp4: false,
            addresses: ['203.0.113.7/25', '2001:db8::20/64'],
            routes: [
              { to: '0.0.0.0/0', via: '203.0.113.1' },
              { to: '192.0.2.0/24', via: '198.51.100.2' },
            ],
            nameservers: { addresses: ['203.0.113.53'], search: ['example.org'] },
          },
        },
      },
    });
  });

  it.each(['ens192: {}\n', 'ens192: {nameservers: none}\n'])(
    'stands in an entry of netplan that says as little as %j',
    (entry) => {
      const now = after({ [plan]: `network:\n  ethernets:\n    ${entry}` });
      expect(parse(now[plan]!)).toMatchObject({
        network: {
          ethernets: {
            ens192: { addresses: ['203.0.113.7/25'], nameservers: { addresses: ['203.0.113.53'] } },
          },
        },
      });
    },
  );

  it('stands in an entry of netplan for any card, if it is the only one', () => {
    const text =
      'network:\n  ethernets:\n    all:\n      match: {name: "en*"}\n      dhcp4: true\n';
    const now = after({ [plan]: text });
    expect(parse(now[plan]!)).toMatchObject({
      network: {
        ethernets: {
          all: { match: { name: 'en*' }, dhcp4: false, addresses: ['203.0.113.7/25'] },
        },
      },
    });
    expect(Object.keys(now)).toEqual([plan]);
  });

  it('stands in the profile of NetworkManager, whose gateway of old goes', () => {
    const text = `[connection]
id=Wired
type=ethernet
interface-name=ens192

[ipv4]
address1=198.51.100.20/24,198.51.100.1
address2=198.51.100.21/24
dns=198.51.100.53;
dns-search=example.org;
method=manual
route1=192.0.2.0/24,198.51.100.2

[ipv6]
method=auto
`;
    const now = after({ [profile]: text })[profile]!;
    expect(now).toContain(
      '[ipv4]\nmethod=manual\naddress1=203.0.113.7/25\ngateway=203.0.113.1\ndns=203.0.113.53;\ndns-search=example.org;\n\n[ipv6]\nmethod=auto\n',
    );
  });

  it('is asked for before profiles of NetworkManager for any card', () => {
    const text = '[connection]\ntype=ethernet\n[ipv4]\nmethod=auto\n';
    const now = after({ [profile]: text });
    const own = Object.keys(now).find((path) => path.includes('vmferry'))!;
    expect(now[own]).toContain('autoconnect-priority=100');
    expect(now[own]).toContain('address1=203.0.113.7/25');
    expect(now[profile]).toBe(text);
  });

  it('stands in the file of systemd-networkd, sections of old go, DHCP of the other family stays', () => {
    const text = `[Match]
Name=ens192

[Network]
DHCP=yes
DNS=198.51.100.53
LinkLocalAddressing=ipv6

[Address]
Address=198.51.100.20/24
Label=old

[Route]
Gateway=198.51.100.1

[Route]
Destination=192.0.2.0/24
Gateway=198.51.100.2
`;
    expect(after({ [network]: text })[network]).toBe(`[Match]
MACAddress=${mac}

[Network]
DHCP=ipv6
Address=203.0.113.7/25
Gateway=203.0.113.1
DNS=203.0.113.53
LinkLocalAddressing=ipv6

[Route]
Destination=192.0.2.0/24
Gateway=198.51.100.2
`);
  });

  it('stands in a file of its own before those of systemd-networkd for any card', () => {
    const text = '[Match]\nName=en*\n[Network]\nDHCP=yes\n';
    const now = after({ [network]: text });
    const own = Object.keys(now).find((path) => path.endsWith('.network') && path !== network)!;
    expect(own < network).toBe(true);
    expect(now[own]).toContain('Address=203.0.113.7/25');
  });

  it('stands in Red Hat’s ifcfg file, and all else of it stays', () => {
    const text = `DEVICE=ens192
BOOTPROTO=dhcp
ONBOOT=yes
IPADDR=198.51.100.20
NETMASK=255.255.255.0
GATEWAY=198.51.100.1
IPV6ADDR=2001:db8::20/64
DNS1=198.51.100.53
MTU=9000
`;
    expect(after({ [ifcfg]: text })[ifcfg]).toBe(`DEVICE=ens192
ONBOOT=yes
IPV6ADDR=2001:db8::20/64
MTU=9000
HWADDR=${mac}
BOOTPROTO=none
IPADDR=203.0.113.7
PREFIX=25
GATEWAY=203.0.113.1
DNS1=203.0.113.53
`);
  });

  it('stands in SUSE’s files: the address, the default route, and the machine’s name servers', () => {
    const now = after({
      [suse]: `STARTMODE='auto'\nBOOTPROTO='dhcp'\nIPADDR='198.51.100.20/24'\nMTU='9000'\n`,
      '/etc/sysconfig/network/routes':
        'default 198.51.100.1 - -\n192.0.2.0/24 198.51.100.2 - eth0\n',
      '/etc/sysconfig/network/config': '## Type: string\nNETCONFIG_DNS_STATIC_SERVERS=""\n',
    });
    expect(now[suse]).toBe(
      `STARTMODE='auto'\nMTU='9000'\nBOOTPROTO='dhcp6+static'\nIPADDR='203.0.113.7/25'\n`,
    );
    expect(now['/etc/sysconfig/network/routes']).toBe('192.0.2.0/24 198.51.100.2 - eth0\n');
    expect(now['/etc/sysconfig/network/ifroute-eth0']).toBe('default 203.0.113.1 - eth0\n');
    expect(now['/etc/sysconfig/network/config']).toContain(
      'NETCONFIG_DNS_STATIC_SERVERS="203.0.113.53"',
    );
  });

  it('leaves gateway and name servers as they are where nobody said others', () => {
    const only = given({ addresses: ['198.51.100.30/24'] });
    const text = 'iface ens192 inet static\n  address 198.51.100.20/24\n  gateway 198.51.100.1\n';
    expect(after({ [interfaces]: text }, [only])[interfaces]).toBe(
      'iface ens192 inet static\n    address 198.51.100.30/24\n  gateway 198.51.100.1\n',
    );
    const keyfile =
      '[connection]\ntype=ethernet\ninterface-name=ens192\n[ipv4]\naddress1=198.51.100.20/24,198.51.100.1\ndns=198.51.100.53;\n';
    expect(after({ [profile]: keyfile }, [only])[profile]).toContain(
      'address1=198.51.100.30/24\ngateway=198.51.100.1\ndns=198.51.100.53;\n',
    );
  });

  it.each<[string, Record<string, string>]>([
    [
      'ifupdown',
      {
        [interfaces]:
          'iface ens192 inet manual\niface br0 inet static\n  address 198.51.100.20/24\n  bridge_ports ens192\n',
      },
    ],
    [
      'netplan',
      { [plan]: 'network: {ethernets: {ens192: {}}, bridges: {br0: {interfaces: [ens192]}}}\n' },
    ],
    [
      'network-manager',
      { [profile]: '[connection]\ntype=ethernet\ninterface-name=ens192\nmaster=bond0\n' },
    ],
    ['systemd-networkd', { [network]: '[Match]\nName=ens192\n[Network]\nBridge=br0\n' }],
    ['ifcfg', { [ifcfg]: 'DEVICE=ens192\nMASTER=bond0\n' }],
    [
      'wicked',
      {
        '/etc/sysconfig/network/ifcfg-eth0': "STARTMODE='hotplug'\n",
        '/etc/sysconfig/network/ifcfg-br0': "BRIDGE_PORTS='eth0'\n",
      },
    ],
  ])('is refused for a part of a bridge or a bond of %s', (system, files) => {
    const { refused } = linuxAddressPlan(asMap(files), [given()], true);
    expect(refused).toEqual([
      expect.stringContaining(`a part of a bridge or a bond there (${system})`),
    ]);
  });

  it('is refused where nothing tells which card it is, or how the guest sets addresses', () => {
    const two = asMap({ [interfaces]: 'iface eth0 inet dhcp\niface eth1 inet dhcp\n' });
    expect(linuxAddressPlan(two, [given(), other], true).refused).toEqual([
      expect.stringContaining('nothing tells what the guest calls that card'),
    ]);
    expect(linuxAddressPlan(asMap({}), [given()], true).refused).toEqual([
      '203.0.113.7/25 (00:50:56:aa:bb:01): its way to set addresses is not known',
    ]);
  });

  it('finds no file that it could not go by, whatever a guest has in it', () => {
    const word = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.constantFrom('ens192', 'default', had.address),
    );
    const value = fc.letrec((tie) => ({
      any: fc.oneof({ maxDepth: 3 }, word, fc.constant(null), tie('list'), tie('map')),
      list: fc.array(tie('any'), { maxLength: 3 }),
      map: fc.dictionary(
        fc.constantFrom(
          ...['ens192', 'addresses', 'routes', 'to', 'via', 'match', 'macaddress', 'nameservers'],
          ...['interfaces', 'dhcp4', 'set-name', 'ethernets', 'bridges', 'network'],
        ),
        tie('any'),
        { maxKeys: 4 },
      ),
    })).any;
    const route = fc.record({ to: fc.constantFrom('default', '::/0', 1), via: word });
    const entry = fc.record({ routes: fc.array(fc.oneof(route, value)), addresses: value });
    const entries = fc.record({
      ethernets: fc.dictionary(fc.constantFrom('ens192', 'x'), fc.oneof(entry, value)),
      bridges: value,
    });
    const lines = fc.array(
      fc.constantFrom(
        ...[
          '[Match]',
          '[Network]',
          '[Address]',
          '[ipv4]',
          'Name=ens192',
          'Address=',
          'Address=1/2',
        ],
        ...[
          'iface ens192 inet static',
          'iface',
          'address',
          'address x',
          'bridge_ports',
          "IPADDR='",
          '=',
        ],
      ),
      { maxLength: 8 },
    );
    const some = fc.subarray([interfaces, profile, network, ifcfg, suse]);
    fc.assert(
      fc.property(fc.oneof(entries, value), lines, some, (tree, text, paths) => {
        const files = asMap({
          [plan]: stringify({ network: tree }),
          ...Object.fromEntries(paths.map((path) => [path, text.join('\n')])),
        });
        for (const cards of [[given()], [given(), other]])
          expect(() => linuxAddressPlan(files, cards, true)).not.toThrow();
      }),
      { numRuns: 100 },
    );
  });

  it('is an argument of virt-v2v for a Windows', () => {
    expect(windowsMacArguments([given()])).toEqual({
      args: ['--mac', `${mac}:ip:203.0.113.7,203.0.113.1,25,203.0.113.53`],
      left: [],
    });
  });
});
