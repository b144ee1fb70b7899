import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmFerryError } from '../../../domain/errors.ts';
import type { ImportRequest } from '../../../domain/import.ts';
import { cacheNeed, capacityOf, promisedBytes } from '../../../domain/import/capacity.ts';
import {
  chooseConversionHost,
  chosenConversionHost,
} from '../../../domain/import/conversion-host.ts';
import type {
  ConversionCandidate,
  ConversionWishes,
} from '../../../domain/import/conversion-host.ts';
import { diskName, expectedBytes } from '../../../domain/import/disks.ts';
import { isUsableMac, madeMac, repeatedMacs } from '../../../domain/import/macs.ts';
import { isDnsLabel, nameTrouble, volumeBase } from '../../../domain/import/names.ts';
import { planImport } from '../../../domain/import/plan.ts';
import { expectedUse } from '../../../domain/import/use.ts';
import type { PlannedImport } from '../../../domain/import/use.ts';
import { beta, gibibyte, pool } from './facts.ts';
import {
  conversionHost,
  foreignDisk,
  foreignNic,
  foreignVm,
  importRequest,
} from './foreign-facts.ts';

/** Any code points, halves of surrogate pairs among them. */
const anyText = (maxLength: number) =>
  fc.array(fc.nat(0x10ffff), { maxLength }).map((points) => String.fromCodePoint(...points));

const mebibyte = 1024 ** 2;

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

describe('the cache of a conversion host', () => {
  const task = (id: string, neededBytes: number, writtenBytes: number) => ({
    ...{ id, neededBytes, writtenBytes },
  });
  it('is free without what running tasks have still to write', () => {
    const cache = { path: '/c', capacityBytes: 200 * gibibyte, availableBytes: 100 * gibibyte };
    const tasks = [
      task('a', 30 * gibibyte, 10 * gibibyte),
      task('b', 5 * gibibyte, 9 * gibibyte),
      task('a', 30 * gibibyte, 20 * gibibyte),
    ];
    expect(promisedBytes(tasks)).toBe(10 * gibibyte);
    expect(capacityOf(cache, tasks)).toEqual({
      totalBytes: 200 * gibibyte,
      freeBytes: 100 * gibibyte,
      promisedBytes: 10 * gibibyte,
      availableBytes: 90 * gibibyte - 64 * mebibyte,
      shortBytes: 0,
    });
  });
  it('says by how much too much was promised', () => {
    const cache = { path: '/c', capacityBytes: gibibyte, availableBytes: gibibyte };
    expect(capacityOf(cache, [task('a', 2 * gibibyte, 0)])).toMatchObject({
      availableBytes: 0,
      shortBytes: gibibyte + 64 * mebibyte,
    });
  });
  it('writing does not change what is available to others', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), fc.nat(1000), (free, needed, written) => {
        fc.pre(written <= needed && needed + 64 <= free);
        const at = (done: number) =>
          capacityOf({ path: '/c', capacityBytes: 1, availableBytes: (free - done) * mebibyte }, [
            task('a', needed * mebibyte, done * mebibyte),
          ]).availableBytes;
        expect(at(written)).toBe(at(0));
      }),
    );
  });
  it('holds the disks that come, and what a conversion writes beside them', () => {
    const vm = foreignVm({ disks: [foreignDisk(), foreignDisk({ key: 'b', allocationBytes: 0 })] });
    const need = (request: Partial<ImportRequest>) => cacheNeed(vm, importRequest(request));
    const beside = 512 * mebibyte;
    expect(need({})).toEqual({
      neededBytes: 12 * gibibyte + beside,
      mostBytes: 20 * gibibyte + beside,
    });
    expect(need({ convert: 'no', shape: { disks: [] } })).toEqual({
      neededBytes: 2 * gibibyte,
      mostBytes: 10 * gibibyte,
    });
  });
});

describe('the choice of a conversion host', () => {
  const wishes = (changes: Partial<ConversionWishes> = {}): ConversionWishes => ({
    ...{ provider: 'files', kind: 'ova', convert: 'yes', neededBytes: gibibyte },
    ...changes,
  });
  const candidate = (
    name: string,
    facts: Parameters<typeof conversionHost>[0] = {},
    enabled = true,
  ): ConversionCandidate => ({ name, enabled, facts: conversionHost({ name, ...facts }) });
  const room = (availableBytes: number) => ({
    cache: { path: '/c', capacityBytes: 200 * gibibyte, availableBytes },
  });

  it('falls on the fewest imports, then on the most room, then on the first name', () => {
    const hosts = [
      candidate('d', { running: 1 }),
      candidate('c'),
      candidate('b', { running: 1, ...room(150 * gibibyte) }),
      candidate('a'),
    ];
    const choice = chooseConversionHost(hosts, wishes());
    expect(choice.chosen).toBe('a');
    expect(choice.hosts.map(({ host }) => host)).toEqual(['a', 'c', 'b', 'd']);
    expect(chosenConversionHost(hosts, wishes())).toBe('a');
  });

  it('says of every other why not', () => {
    const { toolVersion: _, ...noTool } = conversionHost({ toolTrouble: 'no such file' });
    const hosts: ConversionCandidate[] = [
      candidate('busy', { running: 9 }),
      candidate('off', {}, false),
      { name: 'silent', enabled: true },
      candidate('poor', { providers: [] }),
      candidate('wrong', { providers: [{ name: 'files', kind: 'kvm', address: '' }] }),
      { name: 'toolless', enabled: true, facts: { ...noTool, name: 'toolless' } },
      candidate('driverless', { virtioWin: false }),
      candidate('full', { promisedBytes: 99.8 * gibibyte }),
    ];
    const choice = chooseConversionHost(hosts, wishes({ windows: true }));
    expect(choice.chosen).toBe('busy');
    const why = Object.fromEntries(
      choice.hosts.map((each) => [each.host, each.passed ? [] : each.reasons]),
    );
    expect(why).toEqual({
      busy: [],
      driverless: ['has no drivers for Windows'],
      full: ['has 140 MiB free in its cache and would need 1 GiB'],
      off: ['is disabled'],
      poor: ['has no provider files'],
      silent: ['has told no facts'],
      toolless: ['cannot convert (no such file)'],
      wrong: ['has files as kvm, not as ova'],
    });
    const plain = chooseConversionHost(hosts, wishes({ convert: 'no', windows: true }));
    const passed = plain.hosts.filter((each) => each.passed).map(({ host }) => host);
    expect(passed.sort()).toEqual(['busy', 'driverless', 'toolless']);
  });

  it('of a person wins, and is replaced by nobody', () => {
    const hosts = [candidate('a'), candidate('b', { running: 5 }), candidate('c', {}, false)];
    expect(chosenConversionHost(hosts, wishes({ pinned: 'b' }))).toBe('b');
    const fault = (pinned: string) => {
      try {
        return chosenConversionHost(hosts, wishes({ pinned }));
      } catch (error) {
        return error instanceof VmFerryError ? `${error.code}: ${error.message}` : error;
      }
    };
    expect(fault('c')).toBe(
      'no-conversion-host: no host can take the import from files: c is disabled',
    );
    expect(fault('x')).toBe('conversion-host-unknown: no host is called x, which was to convert');
  });

  it('has no host to fall on where there is none', () => {
    expect(() => chosenConversionHost([], wishes())).toThrow('there is none');
    const many = Array.from({ length: 8 }, (_, index) => candidate(`h${index}`, {}, false));
    expect(() => chosenConversionHost(many, wishes())).toThrow('h4 is disabled; and 3 more');
  });

  it('does not hang on the order in which hosts were told', () => {
    const hosts = fc.array(
      fc.record({ running: fc.nat(3), free: fc.nat(5), enabled: fc.boolean() }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(hosts, (given) => {
        const all = given.map(({ running, free, enabled }, index) =>
          candidate(`h${index}`, { running, ...room(free * gibibyte) }, enabled),
        );
        const choice = chooseConversionHost(all, wishes());
        expect(chooseConversionHost(all.toReversed(), wishes())).toEqual(choice);
        const best = choice.hosts.find(({ host }) => host === choice.chosen);
        const others = choice.hosts.filter((each) => each.passed);
        expect(choice.chosen === undefined).toBe(others.length === 0);
        for (const each of others) {
          if (best?.passed) expect(best.running).toBeLessThanOrEqual(each.running);
        }
      }),
    );
  });
});

describe('expected use', () => {
  const target = beta({ pools: [pool(), pool({ name: 'vg', type: 'logical', path: '/dev/vg' })] });
  const one = (
    id: string,
    request: Partial<ImportRequest> = {},
    vm: Parameters<typeof foreignVm>[0] = {},
  ): PlannedImport => {
    const asked = importRequest(request);
    const facts = foreignVm({ id, name: id, ...vm });
    const plan = planImport({ vm: facts, request: asked, target, newUuid: id });
    return { vm: facts, request: asked, plan };
  };
  const raw = { storage: { pool: 'vg', format: 'raw' } } as const;

  it('is summed host by host: now, and once all runs and is full', () => {
    const lines = expectedUse(
      [
        one('a', { autoStart: true }),
        one('b', raw),
        one('c', { running: 'leave', autoStart: true }, { kind: 'kvm', state: 'running' }),
        one('d', { to: 'elsewhere' }),
      ],
      [target, beta({ name: 'idle' })],
    );
    expect(lines).toEqual([
      { host: 'beta', what: 'cpus', of: '', wanted: 2, wantedMost: 6, available: 64, fits: true },
      {
        ...{ host: 'beta', what: 'memory', of: '', wanted: 2 * gibibyte, wantedMost: 6 * gibibyte },
        ...{ available: 4 * gibibyte, fits: true },
      },
      {
        ...{ host: 'beta', what: 'storage', of: 'default' },
        ...{ wanted: 4 * gibibyte, wantedMost: 20 * gibibyte },
        ...{ available: 50 * gibibyte - 64 * mebibyte, fits: true },
      },
      {
        ...{ host: 'beta', what: 'storage', of: 'vg' },
        ...{ wanted: 10 * gibibyte, wantedMost: 10 * gibibyte },
        ...{ available: 50 * gibibyte - 64 * mebibyte, fits: true },
      },
      { host: 'beta', what: 'addresses', of: 'bridge:br0', wanted: 1, wantedMost: 3 },
    ]);
  });

  it('does not fit where a sum is too large, or one VM alone', () => {
    const many = Array.from({ length: 26 }, (_, index) => one(`v${index}`, { autoStart: true }));
    const fits = (lines: ReturnType<typeof expectedUse>) =>
      lines.map(({ what, fits: each }) => [what, each]);
    expect(fits(expectedUse(many, [target]))).toEqual([
      ['cpus', true],
      ['memory', false],
      ['storage', false],
      ['addresses', undefined],
    ]);
    const wide = one('w', { shape: { cpus: 5, memoryBytes: 9 * gibibyte } });
    expect(fits(expectedUse([wide], [target])).slice(0, 2)).toEqual([
      ['cpus', false],
      ['memory', false],
    ]);
  });

  it('of two cards is two addresses, and of a VM that ran one that starts', () => {
    const nics = [foreignNic(), foreignNic({ key: 'b', mac: '' })];
    const lines = expectedUse([one('a', {}, { kind: 'kvm', state: 'running', nics })], [target]);
    expect(lines.at(-1)).toMatchObject({ what: 'addresses', wanted: 2, wantedMost: 2 });
    expect(lines[1]).toMatchObject({ what: 'memory', wanted: 2 * gibibyte });
  });

  it('of many is the sum of each', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), (starts) => {
        const all = starts.map((autoStart, index) => one(`v${index}`, { autoStart }));
        const sums = new Map<string, number>();
        for (const each of all) {
          for (const { what, of, wanted } of expectedUse([each], [target])) {
            sums.set(`${what} ${of}`, (sums.get(`${what} ${of}`) ?? 0) + wanted);
          }
        }
        for (const { what, of, wanted } of expectedUse(all, [target])) {
          expect(wanted).toBe(sums.get(`${what} ${of}`));
        }
      }),
      { numRuns: 30 },
    );
  });
});
