import { describe, expect, it } from 'vitest';
import { storageConcerns } from '../../../domain/checks/storage.ts';
import type { StorageView } from '../../../domain/checks/storage.ts';
import type { VmDisk } from '../../../domain/vm.ts';
import { beta, disk, gibibyte, pool, vm } from './facts.ts';

const view = (changes: Partial<StorageView> = {}): StorageView => ({
  vm: vm(),
  request: { targetPool: '' },
  target: beta(),
  seen: {},
  existingVolumes: [],
  ...changes,
});
const seen = { vda: { kind: 'file' as const, path: '/images/web.raw' } };
const only = (changes: Partial<VmDisk>) => vm({ disks: [disk(changes)] });
const found = (changes: Partial<StorageView>) =>
  storageConcerns(view(changes)).map(({ code, level }) => `${level} ${code}`);

describe('shared storage', () => {
  it('needs no pool, no room and no volume', () => {
    expect(
      found({ seen, target: beta({ pools: [] }), existingVolumes: ['default/web.raw'] }),
    ).toEqual([]);
  });

  it('by a person’s word is warned of, since it costs a reading of the disk', () => {
    const device = only({ kind: 'block', path: '/dev/sdb' });
    const request = { targetPool: '', sharedDisks: ['vda'] };
    expect(found({ vm: device, request })).toEqual(['warning shared-by-word']);
  });

  it('may be asked for, and is then not replaced by a copy', () => {
    expect(found({ request: { targetPool: '', storage: 'shared' } })).toEqual([
      'critical storage-not-shared',
    ]);
    expect(found({ seen, request: { targetPool: '', storage: 'shared' } })).toEqual([]);
  });

  it('is refused where a VM of the target has the same disk', () => {
    const other = {
      uuid: 'o',
      name: 'other',
      running: true,
      macs: [],
      diskPaths: ['/images/web.raw'],
    };
    expect(found({ seen, target: beta({ vms: [other] }) })).toEqual(['critical disk-in-use']);
  });

  it('takes snapshots along, which a copy would lose', () => {
    const kept = vm({ snapshots: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] });
    expect(found({ vm: kept, seen })).toEqual(['information snapshots-move']);
    const [refused] = storageConcerns(view({ vm: kept }));
    expect(refused).toMatchObject({ code: 'snapshots', level: 'critical', host: 'alpha' });
    expect(refused?.message).toContain('would be lost: a, b, c, d, e and 2 more');
  });
});

describe('a copy is refused', () => {
  it.each<[code: string, Partial<StorageView>, message: string, remedy: string]>([
    [
      'disk-shared',
      { vm: only({ shareable: true }) },
      'disk vda of web is marked shareable',
      '<shareable/>',
    ],
    [
      'disk-encrypted',
      { vm: only({ format: 'qcow2', encrypted: true }) },
      'disk vda of web is encrypted inside a qcow2 image',
      'raw LUKS',
    ],
    [
      'format-unfit',
      {
        request: { targetPool: '', targetFormat: 'qcow2' },
        target: beta({ pools: [pool({ type: 'rbd' })] }),
      },
      'pool default of beta holds RBD images',
      '--disk vda:format=raw',
    ],
    [
      'disk-unknown',
      { request: { targetPool: '', sharedDisks: ['vdz'] } },
      'web has no disk vdz that a move would take; it has vda',
      '--shared-disk',
    ],
    [
      'disk-unknown',
      { request: { targetPool: '', disks: { sda: { pool: 'x' } } } },
      'web has no disk sda',
      '--disk',
    ],
    [
      'pool-missing',
      { vm: vm({ disks: [{ ...disk({ kind: 'block', path: '/dev/sdb' }), pool: 'none-such' }] }) },
      'beta has no pool none-such for disk vda',
      'say --shared-disk vda',
    ],
    [
      'too-little-room',
      {
        request: { targetPool: '', allocation: 'full' },
        target: beta({ pools: [pool({ availableBytes: 5 * gibibyte })] }),
      },
      'the disks need 10304 MiB',
      '--pool',
    ],
  ])('%s', (code, changes, message, remedy) => {
    const [concern, ...more] = storageConcerns(view(changes));
    expect(more).toEqual([]);
    expect(concern).toMatchObject({ code, level: 'critical', host: 'beta' });
    expect(concern?.message).toContain(message);
    expect(concern?.remedy).toContain(remedy);
  });
});

it('a raw LUKS disk crosses as it is', () => {
  expect(found({ vm: only({ encrypted: true }) })).toEqual([]);
});

it('a chain is told of, for the copy has none', () => {
  const chained = only({ format: 'qcow2', backing: ['/images/base.qcow2'] });
  expect(found({ vm: chained })).toEqual(['information chain-flattened']);
  expect(found({ vm: chained, seen })).toEqual([]);
});

it('a chain that is kept is told of, and needs the room of all its images', () => {
  const layers = [
    { format: 'raw', isFile: true, capacityBytes: 9 * gibibyte, allocationBytes: 9 * gibibyte },
  ];
  const chained = only({ format: 'qcow2', backing: ['/images/base.img'], layers });
  const request = { targetPool: '', chain: 'keep' as const };
  expect(found({ vm: chained, request })).toEqual(['information chain-kept']);
  const target = beta({ pools: [pool({ availableBytes: 10 * gibibyte })] });
  expect(found({ vm: chained, request, target })).toEqual([
    'information chain-kept',
    'critical too-little-room',
  ]);
  expect(found({ vm: chained, request, existingVolumes: ['default/web-vda.1.raw'] })).toContain(
    'critical volume-exists',
  );
  expect(found({ vm: chained, request, target: beta({ pools: [] }) })).toEqual([
    'information chain-kept',
    'critical pool-missing',
  ]);
});

it('a chain that cannot be kept is refused, not flattened', () => {
  const layers = [{ format: 'raw', isFile: false, capacityBytes: 0, allocationBytes: 0 }];
  const chained = only({ format: 'qcow2', backing: ['/dev/sdb'], layers });
  const [concern, ...more] = storageConcerns(
    view({ vm: chained, request: { targetPool: '', chain: 'keep' } }),
  );
  expect(more).toEqual([]);
  expect(concern).toMatchObject({ code: 'chain-cannot-be-kept', level: 'critical' });
  expect(concern?.message).toContain('/dev/sdb');
  expect(concern?.remedy).toContain('--chain');
});
