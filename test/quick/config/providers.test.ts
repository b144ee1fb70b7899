import { describe, expect, it } from 'vitest';
import { asWritten } from '../../../cli/config-as-written.ts';
import { parseConfig } from '../../../config/load.ts';
import { ConfigError } from '../../../config/problems.ts';

const hostKey = 'SHA256:ZLOJTzCVd1wKk5Qh1hEBw6Tyl8nkmPEpR8ZHtz7qn4U';
const sha256 = Array(32).fill('AF').join(':');
const vcenter = 'kind: vsphere, address: vc.example, user: u, password: env:P';
const kvm = `kind: kvm, address: old.example, user: u, hostKey: '${hostKey}'`;
const way = 'key: env:K';

const hostWith = (section: string) =>
  parseConfig(`host: { name: a, migrationAddress: ::1, ${section} }`, 'f').host;
const provider = (text: string) => hostWith(`providers: { p: { ${text} } }`)?.providers['p'];

const complaints = (section: string): string[] => {
  try {
    hostWith(section);
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(({ key, message, remedy }) => `${key}: ${message}. ${remedy}`);
    throw error;
  }
  return [];
};
const complaint = (text: string): string => complaints(`providers: { p: { ${text} } }`).join('\n');

describe('a provider', () => {
  it('of each kind is read with its defaults', () => {
    expect(provider(`${vcenter}, insecure: true`)).toEqual({
      ...{ kind: 'vsphere', address: 'vc.example', user: 'u', password: 'env:P', insecure: true },
      ...{ dataPath: 'auto', hosts: {}, sshHosts: {}, parallelReads: 6 },
    });
    expect(provider(`${kvm}, ${way}`)).toEqual({
      ...{ kind: 'kvm', address: 'old.example', user: 'u', hostKey, key: 'env:K' },
      ...{ jump: [], uri: 'qemu:///system', dataPath: 'auto', connections: 4 },
    });
    expect(provider('kind: ova, folder: /srv/ova')).toEqual({ kind: 'ova', folder: '/srv/ova' });
  });

  it.each(['vc.example', 'vc.example:8443', '192.0.2.7', "'[2001:db8::1]'", "'[2001:db8::1]:443'"])(
    'is reached at %s',
    (address) => {
      expect(
        complaint(`kind: kvm, address: ${address}, user: u, ${way}, hostKey: '${hostKey}'`),
      ).toBe('');
    },
  );

  it.each([
    'vc.example:70000',
    'a b',
    'https://vc.example',
    "'2001:db8::1'",
    '-oProxyCommand=x',
    'a/b',
    "''",
  ])('is not reached at %s', (address) => {
    expect(
      complaint(`kind: kvm, address: ${address}, user: u, ${way}, hostKey: '${hostKey}'`),
    ).toContain('host.providers.p.address: expected HOST or HOST:PORT');
  });

  it.each([
    `ca: /t/ca.pem`,
    `thumbprint: '${sha256}'`,
    `thumbprint: ${'af'.repeat(20)}`,
    'insecure: true',
  ])('of vSphere is trusted by %s', (trust) => {
    expect(complaint(`${vcenter}, ${trust}`)).toBe('');
    expect(
      complaint(
        `${vcenter}, insecure: true, hosts: { e1: { address: e1, user: u, password: env:P, ${trust} } }`,
      ),
    ).toBe('');
  });

  it.each([
    ['nothing', ''],
    ['two ways at once', `, ca: /t/ca.pem, thumbprint: '${sha256}'`],
  ])('of vSphere that is trusted by %s is refused', (_, trust) => {
    expect(complaint(`${vcenter}${trust}`)).toContain(
      'exactly one of `ca`, `thumbprint` and `insecure: true`',
    );
    const hosts = `hosts: { e1: { address: e1, user: u, password: env:P${trust} } }`;
    expect(complaint(`${vcenter}, insecure: true, ${hosts}`)).toContain(
      'host.providers.p.hosts.e1: expected exactly one',
    );
  });

  it.each([
    [`${vcenter}, insecure: false`, '`true`, written out, or no such key'],
    [`${vcenter}, thumbprint: abcd`, '40 or 64 hex digits'],
    [`${vcenter}, insecure: true, dataPath: vddk`, '`vddk` beside dataPath vddk'],
    [`${vcenter}, insecure: true, dataPath: ssh`, '`sshHosts` beside dataPath ssh'],
    [`${vcenter}, insecure: true, dataPath: hotadd`, 'one of auto, vddk, folder, ssh, nfc'],
    [`${vcenter}, insecure: true, vddk: { libdir: here }`, 'an absolute path'],
    [
      `${vcenter}, insecure: true, vddk: { libdir: /opt/v, transports: 'nbd san' }`,
      'transports of VDDK with colons',
    ],
    [
      `${vcenter}, insecure: true, sshHosts: { e1: { address: e1, user: root, password: env:P } }`,
      'sshHosts.e1.hostKey: expected a fingerprint',
    ],
    [
      `${vcenter}, insecure: true, sshHosts: { e1: { address: e1, user: root, hostKey: '${hostKey}' } }`,
      'at least one of `password`, `key` and `agent`',
    ],
    [kvm, 'at least one of `password`, `key` and `agent`'],
    [`${kvm}, password: env:P, passphrase: env:Q`, 'a `key` beside `passphrase`'],
    [`kind: kvm, address: a, user: u, ${way}`, 'p.hostKey: expected a fingerprint'],
    [`kind: kvm, address: a, user: u, ${way}, hostKey: any`, 'as `ssh-keygen -lf` prints it'],
    [`${kvm}, ${way}, uri: 'qemu+ssh://evil/system'`, 'a libvirt URI of that host'],
    [
      `${kvm}, ${way}, jump: [{ address: gate, user: u }]`,
      'jump[0].hostKey: expected a fingerprint',
    ],
    ['kind: ova, folder: ../up', 'an absolute path'],
    ['kind: vmware', 'a provider of kind vsphere, kvm or ova'],
    ['folder: /srv/ova', 'a provider of kind vsphere, kvm or ova'],
  ])('{ %s } is refused: %s', (text, words) => {
    expect(complaint(text)).toContain(words);
  });

  it('has unknown keys told by its own kind', () => {
    expect(complaint(`${kvm}, ${way}, hostkey: x`)).toContain('Did you mean `hostKey`?');
    expect(complaint('kind: ova, folder: /x, zzzzzz: 1')).toContain('Known here: kind, folder.');
  });

  it('with a secret where a reference belongs is refused without repeating it', () => {
    const text = complaint(
      'kind: vsphere, address: vc, user: u, password: swordfish, insecure: true',
    );
    expect(text).toContain('a reference to a secret');
    expect(text).not.toContain('swordfish');
  });

  it('has a name that can stand in an ID', () => {
    expect(complaints("providers: { 'a/b': { kind: ova, folder: /x } }")).toEqual([
      expect.stringContaining('names of 1 to 64 of A-Z a-z 0-9'),
    ]);
  });
});

describe('what imports may take of a host', () => {
  it.each([
    ['8kbit/s', 1000],
    ['32Gbit/s', 4_000_000_000],
    ['0', 0],
  ])('is capped at %s', (rate, bytesPerSecond) => {
    const limits = `{ down: ${rate}, up: ${rate} }`;
    expect(hostWith(`conversion: { limits: ${limits} }`)?.conversion.limits).toEqual({
      ...{ down: bytesPerSecond, up: bytesPerSecond },
    });
  });

  it.each(['7kbit/s', '33Gbit/s', 'fast'])('is not capped at %s', (rate) => {
    expect(complaints(`conversion: { limits: { down: ${rate} } }`)).toHaveLength(1);
  });

  it.each(['198.51.100.0/24', '2001:db8::/64'])('goes over the network %s', (network) => {
    expect(hostWith(`conversion: { network: '${network}' }`)?.conversion.network).toBe(network);
  });

  it.each(['198.51.100.7', '198.51.100.0/33', 'lan'])('goes over no network %s', (network) => {
    expect(complaints(`conversion: { network: '${network}' }`)).toEqual([
      expect.stringContaining('ADDRESS/BITS'),
    ]);
  });

  it('names secrets by reference, and is shown as it can be written again', () => {
    const text = `host:
  name: a
  migrationAddress: ::1
  conversion: { secrets: { web: 'exec:/usr/bin/pass show web' }, limits: { down: 1Gbit/s } }
`;
    const shown = asWritten(parseConfig(text));
    expect(shown).toMatchObject({
      host: { conversion: { secrets: { web: 'exec:/usr/bin/pass ...' } } },
    });
    expect(parseConfig(JSON.stringify(shown)).host?.conversion.limits.down).toBe(125_000_000);
  });
});
