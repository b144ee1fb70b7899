import { describe, expect, it } from 'vitest';
import {
  batchConcerns,
  foreignVmConcerns,
  importConcerns,
} from '../../../domain/checks/foreign/concerns.ts';
import { allForeignRules } from '../../../domain/checks/foreign/rules.ts';
import { allRules } from '../../../domain/checks/rules.ts';
import { blocks } from '../../../domain/concerns.ts';
import { importDefaults } from '../../../domain/import.ts';
import type { Concern } from '../../../domain/concerns.ts';
import { modeOfImport } from '../../../domain/import/mode.ts';
import { foreignNic, foreignVm, importQuestion, importRequest, told } from './foreign-facts.ts';
import { batch, batchFixtures } from './foreign-batches.ts';
import { foreignFixtures, foundIn, questionOf } from './foreign-fixtures.ts';

const codes = (concerns: { code: string }[]): string[] => concerns.map(({ code }) => code);
const codesOf = (side: string): string[] =>
  allForeignRules
    .filter((rule) => rule.side === side)
    .flatMap(({ outcomes }) => Object.keys(outcomes));
const ruleOf = (code: string) => allForeignRules.find(({ outcomes }) => code in outcomes)!;

it('nothing speaks against a VM that fits', () => {
  expect(importConcerns(importQuestion())).toEqual([]);
  expect(foreignVmConcerns(foreignVm())).toEqual([]);
  expect(batchConcerns(batch())).toEqual([]);
});

it('every outcome of every rule has a case, and no code is of two rules', () => {
  for (const side of ['source', 'request', 'target', 'conversion host']) {
    const cases = foreignFixtures.filter((one) => one.side === side);
    expect(codesOf(side).sort()).toEqual(codes(cases).sort());
  }
  expect(codesOf('batch').sort()).toEqual(codes(batchFixtures).sort());
  const all = allForeignRules.flatMap(({ outcomes }) => Object.keys(outcomes));
  expect(new Set(all).size).toBe(all.length);
});

it('a code that moves have too means as much for an import', () => {
  const ofMoves = new Map(allRules.flatMap(({ outcomes }) => Object.entries(outcomes)));
  const shared = allForeignRules
    .flatMap(({ outcomes }) => Object.entries(outcomes))
    .filter(([code]) => ofMoves.has(code));
  expect(codes(shared.map(([code]) => ({ code })))).toContain('guard-not-live');
  for (const [code, { level }] of shared) {
    expect({ code, level }).toEqual({ code, level: ofMoves.get(code)!.level });
  }
});

describe('each rule speaks where it should, with its level and what to do', () => {
  it.each(foreignFixtures)('$side $code', ({ code, given, says }) => {
    const { outcomes, modes } = ruleOf(code);
    const concern = foundIn(given).find((one) => one.code === code);
    const { vm, request } = questionOf(given);
    expect(modes).toContain(modeOfImport(vm, request));
    expect(concern).toMatchObject({ level: outcomes[code]!.level });
    expect(concern?.message).toContain(says);
    expect(concern?.remedy).toBe(outcomes[code]!.remedy);
  });
  it.each(batchFixtures)('batch $code', ({ code, view, says }) => {
    const concern = batchConcerns(view).find((one) => one.code === code);
    expect(concern).toMatchObject({ level: ruleOf(code).outcomes[code]!.level });
    expect(concern?.message).toContain(says);
  });
});

it('every outcome has a meaning and a remedy', () => {
  for (const { modes, outcomes } of allForeignRules) {
    expect(modes.length).toBeGreaterThan(0);
    for (const each of Object.values(outcomes)) {
      expect(each.meaning).toMatch(/^[A-Zl].*\.$/);
      expect(each.remedy).toMatch(/\.$/);
    }
  }
});

describe('who judged stands beside it', () => {
  const hostOf = (code: string, found: Concern[]) => found.find((one) => one.code === code)?.host;
  it('for the target and the conversion host, and nobody for the source', () => {
    const found = foundIn({
      vm: { snapshots: ['a'], memoryBytes: 5 * 1024 ** 3 },
      host: { kvm: false },
    });
    expect(hostOf('snapshots-stay', found)).toBeUndefined();
    expect(hostOf('memory-tight', found)).toBe('beta');
    expect(hostOf('conversion-slow', found)).toBe('gamma');
  });
});

it('a shutdown that may go unheard is told wherever the guest is asked first', () => {
  const vm = foreignVm({ kind: 'vsphere', state: 'running', guestNetwork: [] });
  const told = (['shutdown', 'shutdown-or-force-off', 'force-off', 'leave'] as const).filter(
    (running) => {
      const found = foreignVmConcerns(vm, { request: { ...importDefaults, running } });
      return codes(found).includes('shutdown-unheard');
    },
  );
  expect(told).toEqual(['shutdown', 'shutdown-or-force-off']);
});

describe('what a platform said itself', () => {
  const said = (code: string, level: Concern['level']): Concern => ({
    ...{ code, level, message: 'm', remedy: 'r', host: 'vcenter' },
  });
  const silent = foreignVm({ kind: 'vsphere', state: 'running', guestNetwork: [] });

  it('comes first, and is not said again by a rule', () => {
    const tools = said('vsphere-tools-not-running', 'warning');
    const found = foreignVmConcerns(silent, { said: [tools] });
    expect(found[0]).toEqual(tools);
    expect(codes(found)).not.toContain('addresses-unknown');
    expect(codes(found)).not.toContain('shutdown-unheard');
  });
  it('leaves a rule its word where it is milder, or of something else', () => {
    const mild = said('vsphere-tools-not-running', 'information');
    expect(codes(foreignVmConcerns(silent, { said: [mild] }))).toContain('addresses-unknown');
    const other = said('vsphere-template', 'warning');
    expect(codes(foreignVmConcerns(silent, { said: [other] }))).toContain('addresses-unknown');
  });
  it('of reading a VM that runs does not matter to one that is shut down first', () => {
    const old = said('pull-backup-unsupported', 'critical');
    const vm = { kind: 'kvm' as const, state: 'running' as const };
    const known = { said: [old] };
    expect(codes(foundIn({ vm, known }))).not.toContain(old.code);
    expect(codes(foundIn({ vm, known, request: { running: 'leave' } }))).toContain(old.code);
  });
  it('counts for the verdict', () => {
    const critical = [said('vsphere-suspended', 'critical')];
    expect(blocks(importConcerns(importQuestion(), { said: critical }))).toBe(true);
    expect(blocks(importConcerns(importQuestion()))).toBe(false);
  });
});

describe('a clone', () => {
  const given = {
    vm: { kind: 'kvm' as const, state: 'running' as const },
    request: { running: 'leave' as const, autoStart: true },
  };
  const found = foundIn({
    ...given,
    target: {
      vms: [
        {
          uuid: foreignVm().uuid,
          name: 'older',
          running: true,
          macs: [foreignNic().mac],
          diskPaths: [],
        },
      ],
    },
  });
  it('has no quarrel about UUID and MACs, which are new', () => {
    expect(codes(found)).not.toContain('uuid-taken');
    expect(codes(found)).not.toContain('mac-taken');
  });
  it('is said to be one, and not to be started', () => {
    expect(found.find(({ code }) => code === 'becomes-clone')?.message).toContain(
      'which is not started in spite of the request',
    );
  });
  it('is none of a VM that is off', () => {
    expect(codes(foundIn({ request: { running: 'leave' } }))).toEqual([]);
  });
});

describe('a disk that is left out', () => {
  it('is not spoken of but for that', () => {
    const second = { ...foreignVm().disks[0]!, key: 'disk2', raw: true, shared: true };
    const vm = { disks: [foreignVm().disks[0]!, second] };
    expect(codes(foundIn({ vm, request: { shape: { disks: ['disk1'] } } }))).toEqual([
      'disk-stays',
    ]);
    expect(codes(foundIn({ vm }))).toEqual(['disk-raw', 'disk-shared']);
  });
  it('is never the boot disk', () => {
    const [first] = foreignVm().disks;
    const disks = [first!, { ...first!, key: 'disk2', boot: true, encrypted: true }];
    const found = foundIn({ vm: { disks }, request: { shape: { disks: ['disk1'] } } });
    expect(codes(found)).toEqual(['disk-encrypted']);
  });
});

describe('systems', () => {
  const verdict = (guestOs: string, guestFamily: 'linux' | 'windows' | 'other') =>
    codes(foundIn({ vm: { guestOs, guestFamily } })).find((code) => code.startsWith('guest-'));
  it.each<[string, 'linux' | 'windows' | 'other', string | undefined]>([
    ['ubuntu64Guest', 'linux', undefined],
    ['rhel9_64Guest', 'linux', undefined],
    ['centos64Guest', 'linux', undefined],
    ['debian10_64Guest', 'linux', undefined],
    ['debian5_64Guest', 'linux', 'guest-outdated'],
    ['other24xLinuxGuest', 'linux', 'guest-outdated'],
    ['rhel4_64Guest', 'linux', 'guest-outdated'],
    ['windows9_64Guest', 'windows', undefined],
    ['windows2022srvNext_64Guest', 'windows', undefined],
    ['windows8Server64Guest', 'windows', undefined],
    ['windows7Server64Guest', 'windows', undefined],
    ['Microsoft Windows Server 2008 R2 (64-bit)', 'windows', undefined],
    ['Microsoft Windows Server 2008 (32-bit)', 'windows', 'guest-outdated'],
    ['winNetEnterpriseGuest', 'windows', 'guest-outdated'],
    ['winLonghorn64Guest', 'windows', 'guest-outdated'],
    ['winNTGuest', 'windows', 'guest-unsupported'],
    ['win2000ServGuest', 'windows', 'guest-unsupported'],
    ['win98Guest', 'windows', 'guest-unsupported'],
    ['darwin21_64Guest', 'other', 'guest-unsupported'],
    ['solaris11_64Guest', 'other', 'guest-unsupported'],
    ['http://openbsd.org/openbsd/7.2', 'other', 'guest-unsupported'],
    ['vmkernel7Guest', 'other', 'guest-unsupported'],
    ['Red Hat Enterprise Linux 8.4 (64-bit)', 'linux', undefined],
    ['Red Hat Enterprise Linux 4 (64-bit)', 'linux', 'guest-outdated'],
    ['CentOS 4/5/6/7 (64-bit)', 'linux', undefined],
    ['SUSE Linux Enterprise 15 (64-bit)', 'linux', undefined],
    ['http://centos.org/centos/4.9', 'linux', 'guest-outdated'],
    ['http://debian.org/debian/12', 'linux', undefined],
    ['http://microsoft.com/win/2k3', 'windows', 'guest-outdated'],
    ['http://microsoft.com/win/2k', 'windows', 'guest-unsupported'],
    ['http://microsoft.com/win/2k19', 'windows', undefined],
    ['http://microsoft.com/win/11', 'windows', undefined],
    ['otherGuest64', 'other', 'guest-unknown'],
    ['', 'other', 'guest-unknown'],
  ])('%s', (guestOs, family, expected) => {
    expect(verdict(guestOs, family)).toBe(expected);
  });
  it('do not matter to a guest that is not converted', () => {
    const given = { vm: { guestOs: 'freebsd13_64Guest', guestFamily: 'other' as const } };
    const found = codes(foundIn({ ...given, request: { convert: 'no' } }));
    expect(found.filter((code) => code.startsWith('guest-'))).toEqual([]);
  });
});

describe('near a limit', () => {
  const cdroms = (number: number) =>
    codes(foundIn({ vm: { cdroms: Array.from({ length: number }, () => '') } }));
  it('three drives come along', () => {
    expect(cdroms(3)).toEqual([]);
    expect(cdroms(4)).toEqual(['cdrom-stays']);
  });
  it('a machine sold with 16 GiB is one of 16 GiB', () => {
    const small = (memoryBytes: number) => codes(foundIn({ host: { memoryBytes } }));
    expect(small(15.4 * 1024 ** 3)).toEqual([]);
    expect(small(8 * 1024 ** 3)).toEqual(['conversion-host-small']);
  });
  it('as many CPUs and as much memory as the target has', () => {
    expect(codes(foundIn({ vm: { cpus: 4, memoryBytes: 4 * 1024 ** 3 } }))).toEqual([]);
    expect(codes(foundIn({ vm: { memoryBytes: 8 * 1024 ** 3 } }))).toEqual(['memory-tight']);
  });
  it('what the cache has already is not needed again', () => {
    const given = { host: { promisedBytes: 98 * 1024 ** 3 } };
    expect(codes(foundIn({ ...given, known: { cachedBytes: 1024 ** 3 } }))).toEqual([
      'cache-tight',
    ]);
  });
  it('a cache and a pool on one file system need room for both', () => {
    const shared = (availableBytes: number, capacityBytes = 100 * 1024 ** 3, name = 'beta') => {
      const cache = { path: '/c', capacityBytes, availableBytes };
      return codes(foundIn({ host: { name, cache } })).includes('room-shared');
    };
    // Two disks of 2 GiB, 512 MiB for a conversion, 64 MiB that stay free.
    expect(shared(4 * 1024 ** 3 + 576 * 1024 ** 2)).toBe(false);
    expect(shared(4 * 1024 ** 3 + 575 * 1024 ** 2)).toBe(true);
    expect(shared(4 * 1024 ** 3, 99 * 1024 ** 3)).toBe(false);
    expect(shared(4 * 1024 ** 3, 100 * 1024 ** 3, 'gamma')).toBe(false);
  });
  it('a network of two cards is told once', () => {
    const nics = [foreignNic(), foreignNic({ key: 'nic2', mac: '00:50:56:00:00:02' })];
    const found = foundIn({ vm: { nics }, request: { networks: {} } });
    expect(codes(found)).toEqual(['network-unmapped']);
  });
  it('a foreign network called like something that every object has is mapped to nothing', () => {
    const nics = [
      foreignNic({ network: 'constructor' }),
      foreignNic({ key: 'b', network: '__proto__', mac: '' }),
    ];
    const found = codes(foundIn({ vm: { nics } }));
    expect(found.filter((code) => code === 'network-unmapped')).toHaveLength(2);
  });
});

it('addresses of DHCP are nobody’s to keep', () => {
  const addresses = [{ address: '198.51.100.7', prefix: 24, origin: 'dhcp' as const }];
  const found = foundIn({
    vm: { guestNetwork: [told({ addresses })] },
    request: { convert: 'no' },
  });
  expect(codes(found)).toEqual(['boot-driver-unsure']);
});

it('a BIOS guest that keeps its drivers finds its IDE disk on the old machine', () => {
  const disks = [{ ...foreignVm().disks[0]!, bus: 'ide' }];
  const target = { machines: ['kvm/x86_64/q35', 'kvm/x86_64/pc'] };
  const request = { convert: 'no' as const };
  const found = codes(
    foundIn({ vm: { disks, guestNetwork: [told({ addresses: [] })] }, request, target }),
  );
  expect(found).toEqual([]);
});

it('a VM that is only looked at has no quarrel with maps and hosts', () => {
  const vm = foreignVm({ nics: [], kind: 'vsphere', snapshots: ['a'] });
  expect(codes(foreignVmConcerns(vm))).toEqual([
    'snapshots-stay',
    'no-nic',
    'platform-settings-stay',
  ]);
  expect(codes(foreignVmConcerns(vm, { request: importRequest({ convert: 'no' }) }))).toContain(
    'boot-driver-unsure',
  );
});
