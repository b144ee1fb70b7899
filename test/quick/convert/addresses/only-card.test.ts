import { describe, expect, it } from 'vitest';
import { nameOfOnlyCard } from '../../../../convert/addresses/only-card.ts';
import { asMap } from './samples.ts';

const lo = 'auto lo\niface lo inet loopback\n';

describe('the name of an only card', () => {
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
    [
      'NetworkManager',
      {
        '/etc/NetworkManager/system-connections/a.nmconnection':
          '[connection]\ntype=ethernet\ninterface-name=ens192\n',
      },
    ],
    ['systemd-networkd', { '/etc/systemd/network/a.network': '[Match]\nName=ens192\n' }],
    ['ifcfg', { '/etc/sysconfig/network-scripts/ifcfg-ens192': 'BOOTPROTO=none\n' }],
    ['ifcfg with a device', { '/etc/sysconfig/network/ifcfg-x': 'DEVICE="ens192"\n' }],
  ])('is what %s calls it', (_, files) => {
    expect(nameOfOnlyCard(asMap(files))).toBe('ens192');
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
    expect(nameOfOnlyCard(asMap(files))).toBeUndefined();
  });
});
