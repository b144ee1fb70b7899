import { describe, expect, it } from 'vitest';
import { importRequestOf } from '../../../client/import-request.ts';
import type { V2vRequest } from '../../../client/import-request.ts';
import { hostFor } from '../../../client/providers.ts';
import type { ConversionHostFacts } from '../../../domain/import.ts';
import { factsOf } from '../cli/fake-client.ts';
import { foreignVm } from '../cli/fake-import.ts';

const conversionHost: ConversionHostFacts = {
  ...{ name: 'alpha', arch: 'x86_64', cpus: 8, memoryBytes: 2 ** 34, virtioWin: false, kvm: true },
  cache: { path: '/cache', capacityBytes: 1e12, availableBytes: 1e12 },
  providers: [{ name: 'vc', kind: 'vsphere', address: 'vc.example' }],
  ...{ running: 0, parallel: 10, promisedBytes: 0, cacheSeconds: 3600 },
};
const pool = factsOf('beta').pools[0]!;
const target = {
  ...factsOf('beta'),
  ...{ networks: ['default', 'both'], bridges: ['br0', 'both'] },
  pools: [pool, { ...pool, name: 'lvm', type: 'logical' }],
};
const disk = foreignVm().disks[0]!;
const vm = foreignVm({
  disks: [disk, { ...disk, key: '2001', path: '/srv/vm/deep/data.raw', boot: false }],
});
const requestOf = (asked: Partial<V2vRequest> = {}) =>
  importRequestOf(
    { provider: 'vc', vm: 'web', ...asked },
    { vm, conversionHost, target, operator: 'ada' },
  );

describe('a request', () => {
  it('is made whole by the defaults, the VM and its hosts', () => {
    expect(requestOf({ on: 'gamma' })).toEqual({
      ...{ provider: 'vc', vm: 'vm-42', conversionHost: 'alpha', to: 'beta', operator: 'ada' },
      ...{ running: 'shutdown', shutdownTimeoutMs: 300_000, restartSource: true, convert: 'yes' },
      ...{ networks: {}, storage: { pool: '', format: 'qcow2' }, shape: {}, autoStart: false },
      ...{ autoCommit: false, verify: 'full', bandwidthBytesPerSecond: 0, cacheSeconds: 3600 },
    });
    expect(requestOf({ cacheSeconds: 5 }).cacheSeconds).toBe(5);
  });

  it.each([
    ['br0', 'bridge:br0'],
    ['default', 'network:default'],
    ['both', 'network:both'],
    ['nowhere', 'network:nowhere'],
    ['bridge:any', 'bridge:any'],
    ['network:br0', 'network:br0'],
  ])('names the network %j as %s', (named, choice) => {
    const { networks, defaultNetwork } = requestOf({
      networks: { 'VM Network': named },
      defaultNetwork: named,
    });
    expect({ networks, defaultNetwork }).toEqual({
      ...{ networks: { 'VM Network': choice }, defaultNetwork: choice },
    });
  });

  it.each<[Record<string, string>, Record<string, string> | undefined]>([
    [{ ds1: 'a' }, { '2000': 'a' }],
    [{ '/srv/vm': 'a' }, { '2001': 'a' }],
    [{ '/srv/vm': 'a', '/srv/vm/deep': 'b' }, { '2001': 'b' }],
    [{ '2000': 'a', ds1: 'b' }, { '2000': 'a' }],
    [{ '/srv/v': 'a', ds: 'b', toString: 'c' }, undefined],
  ])('maps the storage %j to %j', (storageMap, byDisk) => {
    expect(requestOf({ storageMap }).storage.byDisk).toEqual(byDisk);
  });

  it('lets a pool for a disk stand before the map', () => {
    const storage = { pool: 'images', byDisk: { '2000': 'own' } };
    expect(requestOf({ storage, storageMap: { ds1: 'mapped' } }).storage.byDisk).toEqual({
      '2000': 'own',
    });
  });

  it.each<[Partial<V2vRequest>, string]>([
    [{ storage: { pool: 'images' } }, 'qcow2'],
    [{ storage: { pool: 'lvm' } }, 'raw'],
    [{ storage: { pool: 'images' }, storageMap: { '2001': 'lvm' } }, 'raw'],
    [{ storage: { pool: 'images' }, storageMap: { '2001': 'lvm' }, shape: { disks: [] } }, 'qcow2'],
    [{ storage: { pool: 'lvm', format: 'qcow2' } }, 'qcow2'],
  ])('for %j writes %s', (asked, format) => {
    expect(requestOf(asked).storage.format).toBe(format);
  });
});

describe('who looks at a provider', () => {
  const alpha = { name: 'alpha', enabled: true, facts: conversionHost };
  const busy = { name: 'busy', enabled: true, facts: { ...conversionHost, running: 3 } };

  it('is the host that knows it and is least busy, tool or not', () => {
    expect(hostFor([busy, alpha], 'vc')).toBe('alpha');
    expect(hostFor([busy, alpha], 'vc', 'busy')).toBe('busy');
  });

  it('is told to be nobody, with the providers there are, or with the hosts that are silent', () => {
    expect(() => hostFor([alpha], 'nope')).toThrow(
      expect.objectContaining({ code: 'provider-unknown' }),
    );
    const silent = { name: 'gamma', enabled: true, trouble: 'no answer' };
    expect(() => hostFor([alpha, silent], 'nope')).toThrow(
      expect.objectContaining({ code: 'no-conversion-host' }),
    );
  });
});
