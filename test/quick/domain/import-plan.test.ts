import { describe, expect, it } from 'vitest';
import { VmFerryError } from '../../../domain/errors.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import type {
  AddressWish,
  CardWish,
  ImportPlan,
  ImportRequest,
  VolumeWish,
} from '../../../domain/import.ts';
import { planImport } from '../../../domain/import/plan.ts';
import { beta, gibibyte, pool } from './facts.ts';
import { foreignDisk, foreignNic, foreignVm, importRequest } from './foreign-facts.ts';

const newUuid = 'aaaaaaaa-0000-4000-8000-000000000009';
const planned = (
  vm: Partial<ForeignVm> = {},
  request: Partial<ImportRequest> = {},
  target = beta(),
): ImportPlan =>
  planImport({ vm: foreignVm(vm), request: importRequest(request), target, newUuid });
const faultOf = (plan: () => unknown): VmFerryError => {
  try {
    plan();
  } catch (error) {
    if (error instanceof VmFerryError) return error;
    throw error;
  }
  throw new Error('it was planned');
};
const running = { kind: 'kvm', state: 'running' } as const;

describe('a VM that is off', () => {
  it('keeps what it is', () => {
    expect(planned()).toEqual({
      name: 'web',
      uuid: foreignVm().uuid,
      clone: false,
      domainType: 'kvm',
      machine: 'q35',
      disks: [
        {
          key: 'disk1',
          name: 'sda',
          capacityBytes: 10 * gibibyte,
          targetPool: 'default',
          targetVolume: 'web-0.qcow2',
          targetPath: '/images/web-0.qcow2',
          targetFormat: 'qcow2',
          targetKind: 'file',
        },
      ],
      nics: [{ key: 'nic1', mac: '00:50:56:00:00:01', network: 'bridge:br0' }],
      cpus: 2,
      memoryBytes: 2 * gibibyte,
      converted: true,
      bus: 'virtio-scsi',
      secureBoot: false,
      tpm: false,
    });
  });
  it('gets what was asked for instead', () => {
    const shape = {
      name: 'www',
      cpus: 3,
      memoryBytes: gibibyte,
      newMacs: true,
      tpm: true,
      bus: 'virtio-blk',
    } as const;
    const plan = planned({}, { shape });
    expect(plan).toMatchObject({ name: 'www', cpus: 3, memoryBytes: gibibyte, tpm: true });
    expect(plan.disks[0]).toMatchObject({ name: 'vda', targetVolume: 'www-0.qcow2' });
    expect(plan.nics[0]?.mac).toMatch(/^52:54:00:/);
    expect(plan.uuid).toBe(foreignVm().uuid);
  });
  it('is emulated where the target has no KVM, or where that is known not to work', () => {
    const target = beta({ machines: ['qemu/x86_64/q35'] });
    expect(planned({}, {}, target).domainType).toBe('qemu');
    const both = beta({ machines: ['kvm/x86_64/q35', 'qemu/x86_64/q35'] });
    expect(planned({}, { shape: { domainType: 'qemu' } }, both).domainType).toBe('qemu');
    const fault = faultOf(() => planned({}, { shape: { domainType: 'kvm' } }, target));
    expect(fault.message).toContain('it has no emulator for kvm/x86_64/q35');
  });
  it('of 32 bits needs a target that has its architecture', () => {
    const target = beta({ machines: ['kvm/i686/q35', 'kvm/x86_64/q35'] });
    expect(planned({ arch: 'i686' }, {}, target).domainType).toBe('kvm');
    expect(faultOf(() => planned({ arch: 'i686' })).code).toBe('machine-unsupported');
  });
});

describe('UUID and MACs', () => {
  it('a clone has its own, none of its source’s nor of the target’s, and the same each time', () => {
    const target = beta();
    const first = planned(running, { running: 'leave' }, target);
    expect(first).toMatchObject({ clone: true, uuid: newUuid });
    expect(first.nics[0]?.mac).toMatch(/^52:54:00:/);
    expect(planned(running, { running: 'leave' }, target)).toEqual(first);
    const taken = {
      ...{ uuid: 'o', name: 'other', running: true, diskPaths: [] },
      macs: [first.nics[0]!.mac.toUpperCase()],
    };
    const second = planned(running, { running: 'leave' }, beta({ vms: [taken] }));
    expect(second.nics[0]?.mac).not.toBe(first.nics[0]?.mac);
  });
  describe('the cards that were named', () => {
    const nics = [
      foreignNic({ key: 'a' }),
      foreignNic({ key: 'b', mac: '00:50:56:00:00:02' }),
      foreignNic({ key: 'c', mac: '00:50:56:00:00:03' }),
    ];
    const cards = (wished: CardWish[], request: Partial<ImportRequest> = {}) =>
      planned({ nics, ...running }, { ...request, shape: { nics: wished } }).nics;

    it('come in their order, the others not; one has the address that was asked for', () => {
      expect(cards([{ key: 'c', mac: '52:54:00:AA:BB:CC' }, { key: 'a' }])).toMatchObject([
        { key: 'c', mac: '52:54:00:aa:bb:cc' },
        { key: 'a', mac: '00:50:56:00:00:01' },
      ]);
    });
    it('have it in a clone too, whose other cards have new ones', () => {
      const wished = [{ key: 'c', mac: '52:54:00:aa:bb:cc' }, { key: 'a' }];
      const [first, second] = cards(wished, { running: 'leave' });
      expect(first?.mac).toBe('52:54:00:aa:bb:cc');
      expect(second?.mac).toMatch(/^52:54:00:/);
      expect(second?.mac).not.toBe(first?.mac);
    });
    it.each<[string, CardWish[]]>([
      ['nic-unfit', [{ key: 'd' }]],
      ['nic-unfit', [{ key: 'a' }, { key: 'a' }]],
      ['mac-unusable', [{ key: 'a', mac: '01:00:5e:00:00:01' }]],
      ['mac-unusable', [{ key: 'a', mac: 'any' }]],
      ['mac-twice', [{ key: 'a' }, { key: 'b', mac: '00:50:56:00:00:01' }]],
    ])('are refused with %s for %j', (code, wished) => {
      expect(faultOf(() => cards(wished)).code).toBe(code);
    });
  });
  it('a VM that is shut down for it keeps them', () => {
    expect(planned(running)).toMatchObject({ clone: false, uuid: foreignVm().uuid });
  });
  it('what was defined already under the UUID does not change them', () => {
    const [nic] = planned({ nics: [foreignNic({ mac: '' })] }).nics;
    const own = { uuid: foreignVm().uuid, name: 'web', running: false, diskPaths: [] };
    const target = beta({ vms: [{ ...own, macs: [nic!.mac] }] });
    expect(planned({ nics: [foreignNic({ mac: '' })] }, {}, target).nics).toEqual([nic]);
  });
  it('a VM without a UUID gets the new one, a card without a MAC a new one', () => {
    const plan = planned({ uuid: '', nics: [foreignNic({ mac: '' }), foreignNic({ key: 'b' })] });
    expect(plan.uuid).toBe(newUuid);
    expect(plan.nics.map(({ key }) => key)).toEqual(['nic1', 'b']);
    expect(plan.nics[0]?.mac).toMatch(/^52:54:00:/);
    expect(plan.nics[1]?.mac).toBe('00:50:56:00:00:01');
  });
  it('a VM without a card gets one on the default network', () => {
    const plan = planned({ nics: [] }, { defaultNetwork: 'network:default' });
    expect(plan.nics).toMatchObject([{ key: '', network: 'network:default' }]);
  });
});

describe('disks', () => {
  const disks = ['a', 'b', 'c'].map((key) => foreignDisk({ key, boot: key === 'b' }));
  it('the boot disk comes first and always, with the others asked for', () => {
    const plan = planned({ disks }, { shape: { disks: ['c'] } });
    expect(plan.disks.map(({ key, name }) => [key, name])).toEqual([
      ['b', 'sda'],
      ['c', 'sdb'],
    ]);
  });
  it('go to the pools that were named for them', () => {
    const target = beta({
      pools: [pool(), pool({ name: 'vg', type: 'logical', path: '/dev/vg' })],
    });
    const storage = { pool: 'default', format: 'raw', byDisk: { c: 'vg' } } as const;
    expect(planned({ disks }, { storage }, target).disks).toMatchObject([
      { key: 'b', targetPath: '/images/web-0.raw', targetKind: 'file' },
      { key: 'a', targetPath: '/images/web-1.raw', targetKind: 'file' },
      {
        key: 'c',
        targetPath: '',
        targetKind: 'block',
        targetPool: 'vg',
        targetVolume: 'web-2.raw',
      },
    ]);
  });
});

describe('names of volumes that were asked for', () => {
  const disks = [foreignDisk({ key: 'a' }), foreignDisk({ key: 'b' })];
  const volumes = (...volumes: VolumeWish[]) => planned({ disks }, { shape: { volumes } }).disks;

  it('are theirs; the others are called after the VM', () => {
    expect(volumes({ key: 'b', name: 'web.data_1' })).toMatchObject([
      { targetVolume: 'web-0.qcow2' },
      {
        targetVolume: 'web.data_1.qcow2',
        targetPath: expect.stringMatching(/web\.data_1\.qcow2$/) as unknown,
      },
    ]);
  });
  it.each<[string, VolumeWish[]]>([
    ['brings no disk "c"', [{ key: 'c', name: 'x' }]],
    [
      'is named twice',
      [
        { key: 'a', name: 'x' },
        { key: 'a', name: 'y' },
      ],
    ],
    [
      'two disks of web would be called "x"',
      [
        { key: 'a', name: 'x' },
        { key: 'b', name: 'x' },
      ],
    ],
    ['no volume can be called "../x"', [{ key: 'a', name: '../x' }]],
    ['no volume can be called ""', [{ key: 'a', name: '' }]],
  ])('are refused where: %s', (words, asked) => {
    const fault = faultOf(() => volumes(...asked));
    expect(fault).toMatchObject({ code: 'volume-name-unfit', handling: 'permanent' });
    expect(fault.message).toContain(words);
  });
});

describe('addresses that were asked for', () => {
  const ask = (
    wish: Partial<AddressWish>,
    vm: Partial<ForeignVm> = {},
    request: Partial<ImportRequest> = {},
  ) => {
    const addresses = [{ key: 'nic1', addresses: ['198.51.100.30/24'], ...wish }];
    return planned(vm, { ...request, shape: { ...request.shape, addresses } });
  };

  it('are planned for their card, with the gateway that it had and that is beside them', () => {
    expect(ask({}).nics[0]?.set).toEqual({
      addresses: ['198.51.100.30/24'],
      gateways: ['198.51.100.1'],
    });
    expect(ask({ addresses: ['203.0.113.7/24'] }).nics[0]?.set).toEqual({
      addresses: ['203.0.113.7/24'],
    });
    const all = {
      addresses: ['203.0.113.7/24', '2001:db8::7/64'],
      gateways: ['203.0.113.1', '2001:db8::1'],
      dns: ['198.51.100.53'],
    };
    expect(ask(all).nics[0]?.set).toEqual(all);
    expect(planned().nics[0]).not.toHaveProperty('set');
  });

  const windows = { guestFamily: 'windows' } as const;
  it.each<[string, Parameters<typeof ask>]>([
    ['is not converted', [{}, {}, { convert: 'no' }]],
    ['say --os if it is a Linux or a Windows', [{}, { guestFamily: 'other' }]],
    ['brings no card "nic9"', [{ key: 'nic9' }]],
    [
      'brings no card "nic1"',
      [
        {},
        { nics: [foreignNic(), foreignNic({ key: 'b', mac: '' })] },
        { shape: { nics: [{ key: 'b' }] } },
      ],
    ],
    ['a gateway or a name server alone is not set', [{ addresses: [] }]],
    ['"198.51.100.30" is no address of a card', [{ addresses: ['198.51.100.30'] }]],
    ['"198.51.100.0/24" is no address of a card', [{ addresses: ['198.51.100.0/24'] }]],
    ['"198.51.100.255/24" is no address of a card', [{ addresses: ['198.51.100.255/24'] }]],
    ['"198.51.100.30/33" is no address of a card', [{ addresses: ['198.51.100.30/33'] }]],
    ['"010.1.1.1/24" is no address of a card', [{ addresses: ['010.1.1.1/24'] }]],
    ['"127.0.0.2/8" is no address of a card', [{ addresses: ['127.0.0.2/8'] }]],
    ['"224.0.0.9/24" is no address of a card', [{ addresses: ['224.0.0.9/24'] }]],
    ['"fe80::7/64" is no address of a card', [{ addresses: ['fe80::7/64'] }]],
    ['"2001:db8::7%eth0/64" is no address', [{ addresses: ['2001:db8::7%eth0/64'] }]],
    ['the gateway "203.0.113.1" is beside none', [{ gateways: ['203.0.113.1'] }]],
    ['the gateway "198.51.100.30" is beside none', [{ gateways: ['198.51.100.30'] }]],
    ['"dns.example" is no address of a name server', [{ dns: ['dns.example'] }]],
    ['would have the address', [{ addresses: ['198.51.100.30/24', '198.51.100.30/24'] }]],
    [
      'is given one IPv4 address only',
      [{ addresses: ['198.51.100.30/24', '198.51.100.31/24'] }, windows],
    ],
    ['only together with a gateway beside it', [{ addresses: ['203.0.113.7/24'] }, windows]],
  ])('are refused where: %s', (words, asked) => {
    const fault = faultOf(() => ask(...asked));
    expect(fault).toMatchObject({ code: 'addresses-unfit', handling: 'permanent' });
    expect(fault.message).toContain(words);
  });

  it('are taken where a network has two addresses, or one', () => {
    expect(() => ask({ addresses: ['198.51.100.30/31'] })).not.toThrow();
    expect(() => ask({ addresses: ['198.51.100.0/32'] })).not.toThrow();
    expect(() => ask({}, windows)).not.toThrow();
  });
});

describe('what cannot be is refused, naming it', () => {
  const storage = (changes: Partial<ImportRequest['storage']>) => ({
    storage: { pool: 'default', format: 'qcow2' as const, ...changes },
  });
  it.each<[string, () => unknown, string]>([
    ['name-invalid', () => planned({ name: 'a/b' }), '"a/b": it has a slash'],
    ['cpus-unfit', () => planned({ cpus: 0 }), 'web would have 0 CPUs'],
    ['memory-unfit', () => planned({ memoryBytes: 0 }), 'web would have 0 bytes'],
    ['secure-boot-impossible', () => planned({ secureBoot: true }), 'web starts by BIOS'],
    ['machine-unsupported', () => planned({ arch: 'aarch64' }), 'beta cannot run web'],
    ['no-disk', () => planned({ disks: [] }), 'web has no disk'],
    ['disk-unknown', () => planned({}, { shape: { disks: ['x'] } }), 'web has no disk "x"'],
    ['disk-unknown', () => planned({}, storage({ byDisk: { y: 'default' } })), 'no disk "y"'],
    ['storage-unmapped', () => planned({}, storage({ pool: '' })), 'no pool of beta is named'],
    ['pool-missing', () => planned({}, storage({ pool: 'ssd' })), 'beta has no pool ssd'],
    [
      'pool-unusable',
      () => planned({}, {}, beta({ pools: [pool({ type: 'iscsi' })] })),
      'pool default of beta cannot take disk disk1 of web',
    ],
    [
      'format-unfit',
      () => planned({}, {}, beta({ pools: [pool({ type: 'rbd' })] })),
      'holds raw volumes only',
    ],
    ['network-unmapped', () => planned({}, { networks: {} }), '"VM Network" of web is mapped'],
    ['network-unmapped', () => planned({ nics: [] }), 'no default network is named'],
    ['mac-unusable', () => planned({ nics: [foreignNic({ mac: 'x' })] }), 'the MAC address "x"'],
    ['mac-twice', () => planned({ nics: [foreignNic(), foreignNic()] }), 'several cards of web'],
  ])('%s', (code, plan, says) => {
    const fault = faultOf(plan);
    expect(fault).toMatchObject({ code, handling: 'permanent' });
    expect(fault.message).toContain(says);
    expect(fault.remedy).not.toBe('');
  });
});
