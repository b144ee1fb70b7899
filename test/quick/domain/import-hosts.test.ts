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
import { gibibyte } from './facts.ts';
import { conversionHost, foreignDisk, foreignVm, importRequest } from './foreign-facts.ts';

const mebibyte = 1024 ** 2;

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
      besideBytes: beside,
    });
    expect(need({ convert: 'no', shape: { disks: [] } })).toEqual({
      neededBytes: 2 * gibibyte,
      mostBytes: 10 * gibibyte,
      besideBytes: 0,
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
      candidate('full', room(0.2 * gibibyte)),
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

  it('falls on one whose cache is promised to others only where no other has the room now', () => {
    const taken = candidate('taken', { promisedBytes: 99.8 * gibibyte });
    expect(chosenConversionHost([taken, candidate('busy', { running: 9 })], wishes())).toBe('busy');
    expect(chosenConversionHost([taken], wishes())).toBe('taken');
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
