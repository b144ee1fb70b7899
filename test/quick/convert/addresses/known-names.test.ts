import { describe, expect, it } from 'vitest';
import { namesLeft, statedIn, withKnownNames } from '../../../../convert/addresses/known-names.ts';
import { asMap, kept } from './samples.ts';

const lo = 'auto lo\niface lo inet loopback\n';
const nameless = kept({ name: '', addresses: [] });
const other = kept({ name: '', addresses: [], mac: '00:50:56:aa:bb:02' });
const nm = '/etc/NetworkManager/system-connections/a.nmconnection';

const namesOf = (files: Record<string, string>, cards = [nameless]): string[] =>
  withKnownNames(asMap(files), cards).map(({ name }) => name);

describe('the name of a card that its platform did not tell', () => {
  it.each<[string, Record<string, string>]>([
    ['ifupdown', { '/etc/network/interfaces': `${lo}iface ens192 inet static\n` }],
    [
      'a file beside ifupdown’s own',
      {
        '/etc/network/interfaces': lo,
        '/etc/network/interfaces.d/a': 'iface ens192 inet dhcp\niface ens192 inet6 auto\n',
      },
    ],
    ['netplan', { '/etc/netplan/a.yaml': 'network:\n  ethernets:\n    ens192: {dhcp4: true}\n' }],
    ['NetworkManager', { [nm]: '[connection]\ntype=ethernet\ninterface-name=ens192\n' }],
    ['systemd-networkd', { '/etc/systemd/network/a.network': '[Match]\nName=ens192\n' }],
    ['ifcfg', { '/etc/sysconfig/network-scripts/ifcfg-ens192': 'BOOTPROTO=none\n' }],
    ['ifcfg with a device', { '/etc/sysconfig/network/ifcfg-x': 'DEVICE="ens192"\n' }],
  ])('is what %s calls it, if it is the only one', (_, files) => {
    expect(namesOf(files)).toEqual(['ens192']);
  });

  const had = { had: ['198.51.100.20', '2001:db8::20'] };
  it.each<[string, Record<string, string>]>([
    [
      'ifupdown',
      {
        '/etc/network/interfaces':
          'iface ens224 inet dhcp\niface ens192 inet static\n  address 198.51.100.20/24\n',
      },
    ],
    [
      'ifupdown of old',
      {
        '/etc/network/interfaces':
          'iface ens192 inet static\n\taddress 198.51.100.20\n\tnetmask 255.255.255.0\niface ens224 inet dhcp\n',
      },
    ],
    [
      'netplan',
      {
        '/etc/netplan/a.yaml':
          'network: {ethernets: {ens192: {addresses: [198.51.100.20/24]}, ens224: {dhcp4: true}}}\n',
      },
    ],
    [
      'netplan with options of the address',
      {
        '/etc/netplan/a.yaml':
          'network:\n  ethernets:\n    ens192:\n      addresses:\n        - 198.51.100.20/24:\n            label: a\n    ens224: {}\n',
      },
    ],
    [
      'NetworkManager',
      {
        [nm]: '[connection]\ninterface-name=ens192\n[ipv4]\naddress1=198.51.100.20/24,198.51.100.1\n',
        [`${nm}2`]: '[connection]\ninterface-name=ens224\n',
      },
    ],
    [
      'systemd-networkd, in a section of its own and another spelling',
      {
        '/etc/systemd/network/a.network':
          '[Match]\nName=ens192\n[Address]\nAddress=2001:DB8:0:0::20/64\n',
        '/etc/systemd/network/b.network': '[Match]\nName=ens224\n',
      },
    ],
    [
      'ifcfg',
      {
        '/etc/sysconfig/network-scripts/ifcfg-ens192': 'IPADDR1="198.51.100.20"\n',
        '/etc/sysconfig/network-scripts/ifcfg-ens224': 'BOOTPROTO=dhcp\n',
      },
    ],
    [
      'wicked',
      {
        '/etc/sysconfig/network/ifcfg-ens192': "IPADDR='198.51.100.20/24'\n",
        '/etc/sysconfig/network/ifcfg-ens224': "BOOTPROTO='dhcp'\n",
      },
    ],
  ])('is what %s calls the one with its address; the other one is then known', (_, files) => {
    expect(namesOf(files, [{ ...nameless, ...had }, other])).toEqual(['ens192', 'ens224']);
  });

  it.each<[string, Record<string, string>]>([
    [
      'netplan',
      {
        '/etc/netplan/a.yaml':
          'network: {ethernets: {lan: {match: {macaddress: "00:50:56:AA:BB:01"}, set-name: ens192}, ens224: {}}}\n',
      },
    ],
    [
      'ifcfg',
      {
        '/etc/sysconfig/network-scripts/ifcfg-ens192': 'HWADDR=00:50:56:AA:BB:01\n',
        '/etc/sysconfig/network-scripts/ifcfg-ens224': '',
      },
    ],
    [
      'a rule of udev',
      {
        '/etc/udev/rules.d/70-persistent-net.rules':
          '# SUBSYSTEM=="net", ATTR{address}=="00:50:56:aa:bb:01", NAME="eth7"\nSUBSYSTEM=="net", ATTR{address}=="00:50:56:aa:bb:01", NAME="ens192"\n',
        '/etc/network/interfaces': 'iface ens192 inet dhcp\niface ens224 inet dhcp\n',
      },
    ],
    [
      'a .link file',
      {
        '/etc/systemd/network/a.link':
          '[Match]\nMACAddress=00:50:56:aa:bb:01\n[Link]\nName=ens192\n',
        '/etc/network/interfaces': 'iface ens192 inet dhcp\niface ens224 inet dhcp\n',
      },
    ],
  ])('is what %s ties to its MAC', (_, files) => {
    expect(namesOf(files, [other, nameless])).toEqual(['ens224', 'ens192']);
  });

  it.each<[string, Record<string, string>]>([
    ['two cards', { '/etc/network/interfaces': 'iface eth0 inet dhcp\niface eth1 inet dhcp\n' }],
    [
      'two systems that do not agree',
      {
        '/etc/network/interfaces': 'iface ens192 inet dhcp\n',
        '/etc/systemd/network/a.network': '[Match]\nName=ens224\n',
      },
    ],
    ['none but the loopback', { '/etc/network/interfaces': lo }],
    ['only what stands on cards', { '/etc/network/interfaces': 'iface br0 inet static\n' }],
    ['only an alias', { '/etc/network/interfaces': 'iface eth0:1 inet static\n' }],
    ['a pattern', { '/etc/systemd/network/a.network': '[Match]\nName=en*\n' }],
    [
      'a match',
      { '/etc/netplan/a.yaml': 'network: {ethernets: {ens192: {match: {driver: x}}}}\n' },
    ],
    ['no YAML', { '/etc/netplan/a.yaml': 'network: [\n' }],
    ['nothing', {}],
  ])('is not guessed where the files name %s', (_, files) => {
    expect(namesOf(files)).toEqual(['']);
  });

  it('is not guessed for two cards that nothing tells apart', () => {
    const files = { '/etc/network/interfaces': 'iface ens192 inet dhcp\niface ens224 inet dhcp\n' };
    expect(namesOf(files, [nameless, other])).toEqual(['', '']);
    expect(namesLeft(asMap(files), [nameless, other])).toEqual(['ens192', 'ens224']);
  });

  it('is not that of a card that has it already, nor of one that stays behind', () => {
    const files = { '/etc/network/interfaces': 'iface ens192 inet dhcp\n' };
    const known = kept({ name: 'ens192', mac: other.mac });
    expect(namesOf(files, [nameless, known])).toEqual(['', 'ens192']);
    expect(namesOf(files, [nameless, { ...known, stays: true }])).toEqual(['', 'ens192']);
  });
});

it('an address counts as set whatever the files give it to', () => {
  const files = asMap({
    '/etc/network/interfaces': 'iface br0 inet static\n  address 198.51.100.20/24\n',
  });
  expect(statedIn(files, ['198.51.100.20', '198.51.100.21'])).toEqual(['198.51.100.20']);
});
