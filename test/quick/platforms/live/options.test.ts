import { describe, expect, it } from 'vitest';
import { MigrateFlag } from '../../../../protocols/libvirt/index.ts';
import { LiveCompression, peerCallOf } from '../../../../platforms/libvirt/live/options.ts';
import type { LiveMigrationOptions } from '../../../../platforms/libvirt/live/options.ts';

const uuid = '11111111-2222-4333-8444-555555555501';
const callOf = (options: Partial<LiveMigrationOptions> = {}) =>
  peerCallOf({ uuid, targetAddress: 'beta.example', ...options });
const has = (options: Partial<LiveMigrationOptions>, flag: number): boolean =>
  (callOf(options).flags & flag) !== 0;

describe('the call', () => {
  it('is peer to peer, live and over TLS, whatever else is asked for', () => {
    const wanted = MigrateFlag.peer2peer | MigrateFlag.live | MigrateFlag.tls;
    for (const options of [{}, { copyDisks: ['vda'] }, { resumePostCopy: true }])
      expect(callOf(options).flags & wanted).toBe(wanted);
    expect(callOf().dconnuri).toBe('qemu+tls://beta.example/system');
  });

  it('believes in shared storage only by the word that it was proved', () => {
    expect(has({}, MigrateFlag.unsafe)).toBe(false);
    expect(has({ storageIsProved: true }, MigrateFlag.unsafe)).toBe(true);
  });

  it('keeps the definition at the source, and makes one at the target, unless told otherwise', () => {
    expect(has({}, MigrateFlag.undefineSource)).toBe(false);
    expect(has({}, MigrateFlag.persistDest)).toBe(true);
    expect(has({ undefineSource: true }, MigrateFlag.undefineSource)).toBe(true);
    expect(has({ persist: false }, MigrateFlag.persistDest)).toBe(false);
  });

  it('names each disk to copy, the definitions and the networks', () => {
    const { params, flags } = callOf({
      copyDisks: ['vda', 'vdb'],
      targetXml: '<domain/>',
      persistentXml: '<domain type="kvm"/>',
      migrationAddress: '2001:db8::2',
      bandwidthMiBPerSecond: 20,
    });
    expect(flags & MigrateFlag.nonSharedDisk).toBe(MigrateFlag.nonSharedDisk);
    const fields = params.map(({ field, value }) => [field, value]);
    expect(fields).toEqual([
      ['migrate_uri', 'tcp://[2001:db8::2]'],
      ['destination_xml', '<domain/>'],
      ['persistent_xml', '<domain type="kvm"/>'],
      ['migrate_disks', 'vda'],
      ['migrate_disks', 'vdb'],
      ['bandwidth', 20n],
    ]);
  });

  it('names the target for its certificate where QEMU opens several connections and disks are copied', () => {
    const nameIn = (options: Partial<LiveMigrationOptions>) =>
      callOf(options).params.find(({ field }) => field === 'tls.destination')?.value;
    const copied = { copyDisks: ['vda'], parallelConnections: 4 };
    expect(nameIn(copied)).toBe('beta.example');
    expect(nameIn({ ...copied, migrationAddress: '2001:db8::2' })).toBe('2001:db8::2');
    expect(nameIn({ ...copied, certificateName: 'b' })).toBe('b');
    // libvirt names it itself.
    expect(nameIn({ copyDisks: ['vda'] })).toBeUndefined();
    expect(nameIn({ parallelConnections: 4 })).toBeUndefined();
  });

  it('caps a post-copy as all else', () => {
    const caps = (more: object) =>
      callOf({ bandwidthMiBPerSecond: 20, ...more }).params.map(({ field, value }) => [
        field,
        value,
      ]);
    expect(caps({})).toEqual([['bandwidth', 20n]]);
    expect(caps({ allowPostCopy: true })).toEqual([
      ['bandwidth', 20n],
      ['bandwidth.postcopy', 20n],
    ]);
  });

  it('reaches an IPv6 address and another port', () => {
    expect(callOf({ targetAddress: '2001:db8::2', targetPort: 1 }).dconnuri).toBe(
      'qemu+tls://[2001:db8::2]:1/system',
    );
  });
});

describe('what could never work is refused before a guest is touched', () => {
  it.each([
    [{ targetAddress: 'beta/system?no_verify=1' }, /no name and no address/],
    [{ targetAddress: '' }, /no name and no address/],
    [{ migrationAddress: 'tcp://beta' }, /no name and no address/],
    [{ bandwidthMiBPerSecond: 0 }, /bandwidthMiBPerSecond is 0/],
    [{ maxDowntimeMs: 0.5 }, /maxDowntimeMs is 0.5/],
    [{ allowPostCopy: true, parallelConnections: 2 }, /exclude one another/],
    [{ allowPostCopy: true, compression: LiveCompression.mt }, /exclude one another/],
    [{ parallelConnections: 2, compression: LiveCompression.xbzrle }, /exclude one another/],
  ])('%j', (options, words) => {
    expect(() => callOf(options)).toThrow(words);
    expect(() => callOf(options)).toThrow(
      expect.objectContaining({ code: 'live-options-invalid', handling: 'permanent' }),
    );
  });
});
