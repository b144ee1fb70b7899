import { describe, expect, it } from 'vitest';
import { ifcfgChanges } from '../../../../convert/addresses/ifcfg.ts';
import { ifupdownChanges } from '../../../../convert/addresses/ifupdown.ts';
import { netplanChanges } from '../../../../convert/addresses/netplan.ts';
import { networkManagerChanges } from '../../../../convert/addresses/network-manager.ts';
import { networkdChanges } from '../../../../convert/addresses/networkd.ts';
import { renameChanges } from '../../../../convert/addresses/rename.ts';
import { wickedChanges } from '../../../../convert/addresses/wicked.ts';
import { asMap, difference, kept, second } from './samples.ts';

const dhcp = kept({ addresses: [] });

describe('ifupdown', () => {
  const path = '/etc/network/interfaces';
  const base = 'source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n';

  it('leaves an interface that it names as it is', () => {
    const files = asMap({
      [path]: `${base}iface ens192 inet static\n  address 198.51.100.20/24\n`,
    });
    expect(ifupdownChanges(files, [kept()])).toEqual([]);
    const elsewhere = asMap({ [path]: base, [`${path}.d/x`]: 'iface ens192 inet dhcp\n' });
    expect(ifupdownChanges(elsewhere, [kept()])).toEqual([]);
  });

  it('gets what nobody configured, in a file of its own or at the end', () => {
    const [own] = ifupdownChanges(asMap({ [path]: base }), [kept()]);
    expect(own?.path).toBe(`${path}.d/vmferry-ens192`);
    expect(own?.content).toContain(`allow-hotplug ens192
iface ens192 inet static
    address 198.51.100.20/24
    gateway 198.51.100.1
    dns-nameservers 198.51.100.53
    dns-search example.org
iface ens192 inet6 static
    address 2001:db8::20/64
    gateway 2001:db8::1
`);
    const [end] = ifupdownChanges(asMap({ [path]: 'auto lo' }), [kept()]);
    expect(end?.path).toBe(path);
    expect(end?.content.startsWith('auto lo\n\n#')).toBe(true);
    expect(ifupdownChanges(asMap({ [path]: base }), [dhcp])).toEqual([]);
  });
});

describe('NetworkManager', () => {
  const path = '/etc/NetworkManager/system-connections/Wired.nmconnection';
  const profile = `# by hand
[connection]
id=Wired
type=ethernet
interface-name=ens192

[ipv4]
method=manual
address1=198.51.100.20/24
`;

  it('follows the MAC instead of the name, and nothing else changes', () => {
    const [change] = networkManagerChanges(asMap({ [path]: profile }), [kept()]);
    expect(difference(profile, change!.content)).toEqual({
      gone: ['interface-name=ens192'],
      come: ['[ethernet]', 'mac-address=00:50:56:AA:BB:01'],
    });
    expect(change?.mode).toBe(0o600);
  });

  it('knows a profile by its MAC, in the old section too', () => {
    const text =
      '[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\nmac-address=00:50:56:AA:BB:01\n';
    expect(networkManagerChanges(asMap({ [path]: text }), [kept()])).toEqual([]);
  });

  it('gets a profile where there is none', () => {
    const [change] = networkManagerChanges(asMap({}), [kept()]);
    expect(change?.path).toBe('/etc/NetworkManager/system-connections/vmferry-ens192.nmconnection');
    expect(change?.content).toMatch(
      /^uuid=[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/m,
    );
    expect(change?.content).toContain(`[ipv4]
method=manual
address1=198.51.100.20/24
gateway=198.51.100.1
dns=198.51.100.53;
dns-search=example.org;
`);
    expect(networkManagerChanges(asMap({}), [dhcp])).toEqual([]);
  });
});

describe('netplan', () => {
  const path = '/etc/netplan/01-net.yaml';
  const text = `# ours
network:
  version: 2
  ethernets:
    ens192: # front
      addresses: [198.51.100.20/24]
      routes:
        - to: default
          via: 198.51.100.1
    ens224:
      dhcp4: true
`;

  it('matches by MAC what it named, and keeps comments and other interfaces', () => {
    const [change] = netplanChanges(asMap({ [path]: text }), [kept()]);
    const { gone, come } = difference(text, change!.content);
    expect(come.map((line) => line.trim())).toEqual([
      'match:',
      'macaddress: "00:50:56:aa:bb:01"',
      'set-name: "ens192"',
    ]);
    expect(gone).toEqual([]);
    expect(change?.content).toContain('    ens192: # front\n      match:\n        macaddress');
    const braces = 'network: {version: 2, ethernets: {ens192: {dhcp4: true}}}\n';
    const [other] = netplanChanges(asMap({ [path]: braces }), [kept()]);
    expect(other?.content.replaceAll(' ', '')).toContain(
      'match:{macaddress:00:50:56:aa:bb:01},set-name:ens192',
    );
  });

  it('leaves what is matched already, and what it cannot read', () => {
    const matched = text.replace(
      'addresses:',
      'match: {macaddress: "00:50:56:AA:BB:01"}\n      addresses:',
    );
    expect(netplanChanges(asMap({ [path]: matched }), [kept()])).toEqual([]);
    const aliased = text.replace('[198', '&a [198');
    for (const strange of ['{', 'network: [1]\n', aliased]) {
      expect(netplanChanges(asMap({ [path]: strange }), [dhcp])).toEqual([]);
    }
  });

  it('gets a file for each interface that it does not know', () => {
    const changes = netplanChanges(asMap({ [path]: 'network: {version: 2}\n' }), [kept(), second]);
    expect(changes.map((change) => change.path)).toEqual([
      '/etc/netplan/90-vmferry-ens192.yaml',
      '/etc/netplan/90-vmferry-ens224.yaml',
    ]);
    expect(changes[0]?.content).toContain('- to: 0.0.0.0/0\n          via: 198.51.100.1');
  });
});

describe('systemd-networkd', () => {
  const path = '/etc/systemd/network/10-front.network';
  const text = '[Match]\n# the front\nName=ens192\n\n[Network]\nAddress=198.51.100.20/24\n';

  it('matches the MAC instead of the name', () => {
    const [change] = networkdChanges(asMap({ [path]: text }), [kept()]);
    expect(difference(text, change!.content)).toEqual({
      gone: ['Name=ens192'],
      come: ['MACAddress=00:50:56:aa:bb:01'],
    });
  });

  it.each(['Name=en*', 'Name=eth0 ens192', 'MACAddress=00:50:56:AA:BB:01', 'Name=*'])(
    'leaves a file that matches by %s',
    (match) => {
      const other = text.replace('Name=ens192', match);
      expect(networkdChanges(asMap({ [path]: other }), [kept()])).toEqual([]);
    },
  );

  it('gets a file where none serves the interface', () => {
    const [change] = networkdChanges(asMap({ [path]: text }), [second]);
    expect(change?.path).toBe('/etc/systemd/network/05-vmferry-ens224.network');
    expect(change?.content).toContain(
      '[Match]\nMACAddress=00:50:56:aa:bb:02\n\n[Network]\nAddress=203.0.113.20/25\n',
    );
  });
});

describe('ifcfg', () => {
  const path = '/etc/sysconfig/network-scripts/ifcfg-ens192';
  const text = 'TYPE="Ethernet"\nDEVICE="ens192"\n# note\nIPADDR=198.51.100.20\nPREFIX=24';

  it('is tied to the MAC', () => {
    const files = asMap({ [path]: text, [`${path}:1`]: 'DEVICE=ens192:1\n' });
    expect(ifcfgChanges(files, [kept()])).toEqual([
      { path, content: `${text}\nHWADDR=00:50:56:aa:bb:01\n`, mode: 0o644 },
    ]);
    const known = `${text}\nHWADDR="00:50:56:AA:BB:01"\n`;
    expect(ifcfgChanges(asMap({ [path]: known }), [kept()])).toEqual([]);
    const other = `HWADDR=00:00:00:00:00:01\n${text}`;
    expect(ifcfgChanges(asMap({ [path]: other }), [kept()])[0]?.content).toBe(
      `HWADDR=00:50:56:aa:bb:01\n${text}`,
    );
  });

  it('gets a file where there is none', () => {
    const [change] = ifcfgChanges(asMap({}), [kept()]);
    expect(change?.path).toBe(path);
    expect(change?.content).toContain('IPADDR=198.51.100.20\nPREFIX=24\nGATEWAY=198.51.100.1\n');
    expect(change?.content).toContain('IPV6ADDR=2001:db8::20/64\n');
  });
});

describe('wicked', () => {
  it('gets files for what nobody configured, its route beside it', () => {
    const changes = wickedChanges(asMap({}), [kept()]);
    expect(changes.map(({ path }) => path)).toEqual([
      '/etc/sysconfig/network/ifcfg-ens192',
      '/etc/sysconfig/network/ifroute-ens192',
    ]);
    expect(changes[0]?.content).toContain(
      "IPADDR='198.51.100.20/24'\nIPADDR_1='2001:db8::20/64'\n",
    );
    expect(changes[1]?.content).toContain('default 198.51.100.1 - ens192\n');
    const known = asMap({ '/etc/sysconfig/network/ifcfg-ens192': "BOOTPROTO='dhcp'\n" });
    expect(wickedChanges(known, [kept()])).toEqual([]);
  });
});

describe('old names', () => {
  it('come back by a .link file for each MAC', () => {
    expect(renameChanges(asMap({}), [kept()], true)).toEqual([
      {
        path: '/etc/systemd/network/05-vmferry-ens192.link',
        content: expect.stringContaining(
          '[Match]\nMACAddress=00:50:56:aa:bb:01\nPath=*\n\n[Link]\nNamePolicy=\nName=ens192\n',
        ) as string,
        mode: 0o644,
      },
    ]);
  });

  const path = '/etc/udev/rules.d/70-persistent-net.rules';
  it('come back by rules on systems before systemd, in the place of rules of the old machine', () => {
    const old = `# PCI device 0x15ad:0x07b0 (vmxnet3)
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="vmxnet3", ATTR{address}=="00:50:56:aa:bb:01", NAME="ens192"
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:50:56:aa:bb:09", NAME="eth9"
`;
    const [change] = renameChanges(asMap({ [path]: old }), [kept()], false);
    const { gone, come } = difference(old, change!.content);
    expect(gone).toEqual([expect.stringContaining('vmxnet3", ATTR')]);
    expect(come).toEqual([
      'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:50:56:aa:bb:01", ATTR{type}=="1", NAME="ens192"',
    ]);
    expect(renameChanges(asMap({ [path]: change!.content }), [kept()], false)).toEqual([]);
  });
});
