import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linuxAddressPlan } from '../../../../convert/addresses/linux.ts';
import { applied, asMap, difference, kept, second } from './samples.ts';

/** Beginnings of guests, each with one system and what stands in its files. */
const guests: Record<string, Record<string, string>> = {
  ifupdown: { '/etc/network/interfaces': 'auto lo\niface lo inet loopback\n' },
  netplan: {
    '/etc/netplan/01.yaml':
      '# ours\nnetwork:\n  version: 2\n  ethernets:\n    ens192:\n      dhcp4: false\n      addresses:\n        - 198.51.100.20/24\n',
  },
  'network-manager': {
    '/etc/NetworkManager/NetworkManager.conf': '[main]\nplugins=keyfile\n',
    '/etc/NetworkManager/system-connections/a.nmconnection':
      '[connection]\ntype=ethernet\ninterface-name=ens224\n',
  },
  'systemd-networkd': { '/etc/systemd/network/x.network': '[Match]\nName=ens192\n' },
  ifcfg: { '/etc/sysconfig/network-scripts/ifcfg-ens192': 'DEVICE=ens192\n' },
  wicked: { '/etc/sysconfig/network/config': '## Type: yesno\n' },
};
const interfaces = [kept(), second];

describe('the addresses of a Linux guest', () => {
  it.each(Object.entries(guests))('are kept by %s, and once is enough', (name, files) => {
    const plan = linuxAddressPlan(asMap(files), interfaces, true);
    expect(plan.systems).toContain(name);
    const after = applied(files, plan.changes);
    const config = Object.entries(after).filter(([path]) => !path.endsWith('.link'));
    for (const { name: ethernet } of interfaces) {
      const known =
        config.some(([path, text]) => `${path} ${text}`.includes(ethernet)) ||
        config.some(([, text]) => text.toLowerCase().includes(kept().mac));
      expect(known).toBe(true);
    }
    expect(linuxAddressPlan(asMap(after), interfaces, true).changes).toEqual([]);
  });

  it('are given to one system only, where a guest has several', () => {
    const files = Object.assign({}, ...Object.values(guests)) as Record<string, string>;
    const { changes } = linuxAddressPlan(
      asMap(files),
      [kept({ name: 'ens256', mac: '00:50:56:00:00:99' })],
      true,
    );
    expect(changes.map(({ path }) => path)).toEqual([
      '/etc/systemd/network/05-vmferry-ens256.link',
      '/etc/netplan/90-vmferry-ens256.yaml',
    ]);
  });

  it('of a DHCP guest stay with DHCP: only its names are kept', () => {
    const { changes } = linuxAddressPlan(
      asMap(guests['ifupdown']!),
      [kept({ addresses: [] })],
      true,
    );
    expect(changes.map(({ path }) => path)).toEqual([
      '/etc/systemd/network/05-vmferry-ens192.link',
    ]);
  });

  it('change nothing but what they have to, whatever else stands in the files', () => {
    const line = fc.stringMatching(
      /^(?:#[ -~]{0,30}|[a-z]{1,8}=[a-zA-Z0-9 .:/]{0,20}|\t? {0,3}|;[ -~]{0,10})$/,
    );
    const noise = fc.array(line, { maxLength: 12 });
    const paths = [
      [
        '/etc/NetworkManager/system-connections/a.nmconnection',
        '[connection]\ntype=ethernet\ninterface-name=ens192\n',
      ],
      ['/etc/systemd/network/a.network', '[Match]\nName=ens192\n'],
      ['/etc/sysconfig/network-scripts/ifcfg-ens192', 'DEVICE=ens192\n'],
      ['/etc/network/interfaces', 'iface lo inet loopback\n'],
    ] as const;
    fc.assert(
      fc.property(fc.constantFrom(...paths), noise, noise, ([path, core], above, below) => {
        // Keys of our own concern in the noise would be ours to change.
        const plain = (lines: string[]) =>
          lines
            .filter((text) => !/^(?:name|type)=/.test(text))
            .map((text) => `${text}\n`)
            .join('');
        const text = `${plain(above)}${core}[other]\n${plain(below)}`;
        const files = { [path]: text, '/etc/hosts': '127.0.0.1 localhost\n' };
        const plan = linuxAddressPlan(asMap(files), [kept()], true);
        const after = applied(files, plan.changes);
        const { gone } = difference(text, after[path]!);
        expect(gone.every((lost) => /^(?:interface-name|Name)=ens192$/.test(lost))).toBe(true);
        expect(after['/etc/hosts']).toBe(files['/etc/hosts']);
        expect(linuxAddressPlan(asMap(after), [kept()], true).changes).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
