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
/** As they are, with the address in the file that names the card. */
const stated: Record<string, Record<string, string>> = {
  ifupdown: {
    '/etc/network/interfaces':
      'auto lo\niface lo inet loopback\niface ens192 inet static\n  address 198.51.100.20/24\n',
  },
  netplan: {},
  'network-manager': {
    '/etc/NetworkManager/system-connections/b.nmconnection':
      '[connection]\ntype=ethernet\ninterface-name=ens192\n[ipv4]\naddress1=198.51.100.20/24\n',
  },
  'systemd-networkd': {
    '/etc/systemd/network/x.network': '[Match]\nName=ens192\n[Network]\nAddress=198.51.100.20/24\n',
  },
  ifcfg: {
    '/etc/sysconfig/network-scripts/ifcfg-ens192': 'DEVICE=ens192\nIPADDR=198.51.100.20\n',
  },
  wicked: { '/etc/sysconfig/network/ifcfg-ens192': "IPADDR='198.51.100.20/24'\n" },
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

  describe('of which vSphere tells no name', () => {
    const nameless = kept({ name: '', had: ['198.51.100.20'] });

    it.each(Object.entries(guests))('have the name that the files of %s know', (name, files) => {
      const before = { ...files, ...stated[name] };
      const plan = linuxAddressPlan(asMap(before), [nameless, second], true);
      const { changes } = plan;
      expect(changes[0]?.path).toBe('/etc/systemd/network/05-vmferry-ens192.link');
      expect(plan.notes).toEqual([]);
      // Its own settings have the address already.
      const others = changes.filter(({ path }) => !path.includes('ens224'));
      expect(others.map(({ content }) => content).join('')).not.toContain('198.51.100.1\n');
      const after = applied(before, changes);
      expect(linuxAddressPlan(asMap(after), [nameless, second], true).changes).toEqual([]);
    });

    it('are set by the MAC alone where no file names the card', () => {
      const files = {
        '/etc/netplan/a.yaml':
          'network:\n  ethernets:\n    all: {match: {name: "en*"}, dhcp4: true}\n',
      };
      const { changes } = linuxAddressPlan(asMap(files), [nameless], true);
      expect(changes.map(({ path }) => path)).toEqual([
        '/etc/netplan/90-vmferry-mac-005056aabb01.yaml',
      ]);
      expect(changes[0]?.content).toContain('macaddress: 00:50:56:aa:bb:01');
      expect(changes[0]?.content).not.toContain('set-name');
      const after = applied(files, changes);
      expect(linuxAddressPlan(asMap(after), [nameless], true).changes).toEqual([]);
    });

    it('are left to a person where the system knows names alone', () => {
      const files = asMap({ '/etc/network/interfaces': 'iface lo inet loopback\n' });
      const { changes, notes } = linuxAddressPlan(files, [nameless], true);
      expect(changes).toEqual([]);
      expect(notes).toEqual([
        'To be set by hand, since nothing tells the name of its card 00:50:56:aa:bb:01: 198.51.100.20, 2001:db8::20.',
      ]);
    });

    it('and that a bridge has are not given to its card beside', () => {
      const files = asMap({
        '/etc/network/interfaces':
          'iface ens192 inet manual\niface br0 inet static\n  address 198.51.100.20/24\n  bridge_ports ens192\n',
      });
      const one = kept({
        ...{ name: '', had: ['198.51.100.20'] },
        addresses: [{ address: '198.51.100.20', prefix: 24, family: 4 }],
      });
      const { changes } = linuxAddressPlan(files, [one], true);
      expect(changes.map(({ path }) => path)).toEqual([
        '/etc/systemd/network/05-vmferry-ens192.link',
      ]);
    });

    it('and that nothing tells apart are named to a person', () => {
      const files = asMap({
        '/etc/network/interfaces': 'iface ens192 inet dhcp\niface ens224 inet dhcp\n',
      });
      const cards = [kept({ name: '', addresses: [] }), { ...second, name: '', addresses: [] }];
      expect(linuxAddressPlan(files, cards, true)).toMatchObject({
        changes: [],
        notes: [expect.stringContaining('00:50:56:aa:bb:02 is ens192 or ens224')],
      });
    });
  });

  it('follow a card that gets another MAC, also where two change theirs with one another', () => {
    const [one, two] = ['00:50:56:aa:bb:01', '00:50:56:aa:bb:02'];
    const path = '/etc/netplan/50-cloud-init.yaml';
    const entry = (name: string, mac: string) =>
      `    ${name}:\n      match:\n        macaddress: ${mac}\n      set-name: ${name}\n`;
    const text = (first: string, other: string) =>
      `network:\n  ethernets:\n${entry('ens192', first)}${entry('ens224', other)}`;
    const { changes } = linuxAddressPlan(
      asMap({ [path]: text(one, two.toUpperCase()) }),
      [
        kept({ mac: two, formerMac: one, name: '' }),
        { ...second, mac: one, formerMac: two, name: '' },
      ],
      true,
    );
    expect(changes.find((change) => change.path === path)?.content).toBe(text(two, one));
    expect(changes.map((change) => change.path)).toContain(
      '/etc/systemd/network/05-vmferry-ens192.link',
    );
  });

  it('of a card that stays behind are left as they are', () => {
    const files = asMap({ '/etc/network/interfaces': 'iface ens192 inet dhcp\n' });
    const stays = kept({ stays: true });
    const { changes } = linuxAddressPlan(files, [stays, { ...second, name: '' }], true);
    expect(changes).toEqual([]);
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
