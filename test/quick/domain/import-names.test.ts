import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diskName, expectedBytes } from '../../../domain/import/disks.ts';
import { isUsableMac, madeMac, repeatedMacs } from '../../../domain/import/macs.ts';
import { isDnsLabel, nameTrouble, volumeBase } from '../../../domain/import/names.ts';

/** Any code points, halves of surrogate pairs among them. */
const anyText = (maxLength: number) =>
  fc.array(fc.nat(0x10ffff), { maxLength }).map((points) => String.fromCodePoint(...points));

describe('names', () => {
  it.each([
    ['', 'it is empty'],
    [' \t', 'it is empty'],
    [' web', 'begins or ends with a blank'],
    ['a/b', 'slash'],
    ['a\nb', 'control character'],
    ['a\u202Eb', 'control character'],
    ['\uD800', 'control character'],
    ['..', 'the name of a folder'],
    ['-rf', 'an option'],
    ['ä'.repeat(121), 'longer than 240 bytes'],
  ])('%j is none', (name, why) => {
    expect(nameTrouble(name)).toContain(why);
  });
  it.each(['web', 'Web Server (prod)', 'wäb', '日本', 'a.b', 'x'.repeat(240), "it's"])(
    '%s is one',
    (name) => {
      expect(nameTrouble(name)).toBeUndefined();
    },
  );
  it('of DNS', () => {
    expect(['web', 'web-01', '1', 'WEB'].every(isDnsLabel)).toBe(true);
    expect(['', 'a.b', 'a b', '-a', 'a-', 'x'.repeat(64)].some(isDnsLabel)).toBe(false);
  });
  it('of volumes are what every storage takes, whatever a VM is called', () => {
    fc.assert(
      fc.property(anyText(120), (name) => {
        expect(volumeBase(name)).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/);
      }),
      { numRuns: 50 },
    );
    expect(volumeBase('../../etc/passwd')).toBe('_.._etc_passwd');
  });
});

it('disks are named as Linux and libvirt name them', () => {
  const at = (index: number) => diskName('virtio-blk', index);
  expect([0, 1, 25, 26, 51, 52, 701, 702].map(at)).toEqual(
    ['a', 'b', 'z', 'aa', 'az', 'ba', 'zz', 'aaa'].map((letters) => `vd${letters}`),
  );
  expect(diskName('ide', 0)).toBe('hda');
});

it('a disk that does not tell what it holds counts in full, one that tells too much not above that', () => {
  const bytes = (allocationBytes: number) => expectedBytes({ allocationBytes, capacityBytes: 10 });
  expect([0, 3, 12].map(bytes)).toEqual([10, 3, 10]);
});

describe('MAC addresses', () => {
  it('made ones are usable, never taken, and follow from UUID and card', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.nat(64), (uuid, card) => {
        const first = madeMac({ uuid, card }, new Set());
        expect(isUsableMac(first)).toBe(true);
        expect(madeMac({ uuid, card }, new Set())).toBe(first);
        const second = madeMac({ uuid, card }, new Set([first]));
        expect(second).not.toBe(first);
        expect(isUsableMac(second)).toBe(true);
      }),
    );
  });
  it('those of many VMs and cards hardly ever meet', () => {
    const uuids = fc.sample(fc.uuid(), { numRuns: 500, seed: 1 });
    const macs = uuids.flatMap((uuid) => [0, 1].map((card) => madeMac({ uuid, card }, new Set())));
    // By chance one pair of a thousand in 2^24 meets in one of 33 trials.
    expect(new Set(macs).size).toBeGreaterThanOrEqual(macs.length - 2);
  });
  it('come round to the first where the last is taken', () => {
    const uuid = 'u';
    const start = madeMac({ uuid, card: 0 }, new Set());
    const taken = new Set([start]);
    for (let step = 0; step < 300; step += 1) taken.add(madeMac({ uuid, card: 0 }, taken));
    expect(taken.size).toBe(301);
  });
  it.each([
    '',
    'x',
    '00:00:00:00:00:00',
    '01:00:00:00:00:00',
    'ff:ff:ff:ff:ff:ff',
    '00:50:56:00:00',
  ])('%j is none for a card', (mac) => {
    expect(isUsableMac(mac)).toBe(false);
  });
  it('are the same in capitals', () => {
    expect(repeatedMacs(['AA:00:00:00:00:01', 'aa:00:00:00:00:01', '', ''])).toEqual([
      'aa:00:00:00:00:01',
    ]);
  });
});
