import { describe, expect, it } from 'vitest';
import {
  chainsOf,
  chainWish,
  layersOf,
  planDisks,
  volumeNameFor,
} from '../../../domain/disk-plan.ts';
import type { DiskQuestion } from '../../../domain/disk-plan.ts';
import type { VmDisk } from '../../../domain/vm.ts';
import { beta, disk, pool, vm } from './facts.ts';

const asked = (changes: Partial<DiskQuestion> = {}): DiskQuestion => ({
  vm: vm(),
  request: { targetPool: '' },
  target: beta(),
  seen: {},
  ...changes,
});
const bare = (changes: Partial<VmDisk>): VmDisk => {
  const { pool: _pool, volume: _volume, ...rest } = disk(changes);
  return rest;
};
const rbd = bare({
  kind: 'network',
  path: 'rbd:vms/web',
  network: { protocol: 'rbd', name: 'vms/web', hosts: [] },
});
const lun = bare({
  kind: 'network',
  path: 'iscsi:iqn.2026-11.example:web/1',
  network: { protocol: 'iscsi', name: 'iqn.2026-11.example:web/1', hosts: [] },
});
const device = bare({ kind: 'block', path: '/dev/sdb' });
const withDisks = (...disks: VmDisk[]) => vm({ disks });

describe('which way a disk goes', () => {
  it('a file goes into the pool of the same name, in its own format', () => {
    expect(planDisks(asked())).toMatchObject([
      {
        name: 'vda',
        how: 'copy',
        sourcePath: '/images/web.raw',
        targetPool: 'default',
        targetVolume: 'web.raw',
        targetPath: '/images/web.raw',
        targetKind: 'file',
        targetFormat: 'raw',
        allocation: 'thin',
        exclusive: true,
      },
    ]);
  });

  it('a disk whose nonce the target sees stays where it is, under the name that it has there', () => {
    const seen = { vda: { kind: 'file' as const, path: '/mnt/images/web.raw' } };
    expect(planDisks(asked({ seen }))).toMatchObject([
      { how: 'shared', proof: 'nonce', targetPath: '/mnt/images/web.raw', targetPool: '' },
    ]);
  });

  it('a device that a person calls shared stays where it is, to be proved by its content', () => {
    const request = { targetPool: '', sharedDisks: ['vda'] };
    expect(planDisks(asked({ vm: withDisks(device), request }))).toMatchObject([
      { how: 'shared', proof: 'content', targetPath: '/dev/sdb', targetKind: 'block' },
    ]);
  });

  it('what is shared is copied all the same if a person says so', () => {
    const seen = { vda: { kind: 'file' as const, path: '/images/web.raw' } };
    const request = { targetPool: 'fast', storage: 'copy' as const };
    const target = beta({ pools: [pool(), pool({ name: 'fast', path: '/fast' })] });
    expect(planDisks(asked({ seen, request, target }))).toMatchObject([
      { how: 'copy', targetPath: '/fast/web.raw' },
    ]);
  });

  it('each disk goes its own way', () => {
    const seen = { vda: { kind: 'file' as const, path: '/images/web.raw' } };
    const data = disk({ name: 'vdb', path: '/images/data.raw' });
    const plans = planDisks(asked({ vm: withDisks(disk(), data), seen }));
    expect(plans.map(({ name, how }) => [name, how])).toEqual([
      ['vda', 'shared'],
      ['vdb', 'copy'],
    ]);
  });

  it('a disk that others may have too is not the guard’s to hold', () => {
    for (const base of [disk({ readonly: true }), disk({ shareable: true })])
      expect(planDisks(asked({ vm: withDisks(base) }))).toMatchObject([{ exclusive: false }]);
  });
});

describe('where a copy goes', () => {
  const pools = [
    pool(),
    pool({ name: 'fast', path: '/fast' }),
    pool({ name: 'ceph', type: 'rbd', path: 'vms' }),
    pool({ name: 'vg', type: 'logical', path: '/dev/vg' }),
  ];
  const target = beta({ pools });

  it('a pool named for one disk wins over the one named for all', () => {
    const request = { targetPool: 'fast', disks: { vdb: { pool: 'default' } } };
    const data = disk({ name: 'vdb', path: '/images/data.raw' });
    const plans = planDisks(asked({ vm: withDisks(disk(), data), request, target }));
    expect(plans.map(({ targetPath }) => targetPath)).toEqual([
      '/fast/web.raw',
      '/images/data.raw',
    ]);
  });

  it.each([
    ['ceph', 'network'],
    ['vg', 'block'],
  ] as const)(
    'into pool %s a qcow2 image goes as raw, to a place that the pool chooses',
    (name, kind) => {
      const image = disk({ format: 'qcow2', path: '/images/web.qcow2' });
      const request = { targetPool: name };
      expect(planDisks(asked({ vm: withDisks(image), request, target }))).toMatchObject([
        { targetKind: kind, targetFormat: 'raw', targetPath: '', targetVolume: 'web.raw' },
      ]);
    },
  );

  it('a format said for one disk wins over the one said for all', () => {
    const request = {
      targetPool: '',
      targetFormat: 'qcow2' as const,
      disks: { vdb: { format: 'raw' as const } },
    };
    const data = disk({ name: 'vdb', path: '/images/data.raw' });
    const plans = planDisks(asked({ vm: withDisks(disk(), data), request }));
    expect(plans.map(({ targetFormat }) => targetFormat)).toEqual(['qcow2', 'raw']);
    expect(plans[0]?.targetPath).toBe('/images/web.qcow2');
  });

  it.each([
    ['a device', device],
    ['an iSCSI disk', lun],
  ])('the copy of %s is named after VM and disk', (_what, source) => {
    const request = { targetPool: 'default' };
    expect(planDisks(asked({ vm: withDisks(source), request }))).toMatchObject([
      { how: 'copy', targetVolume: 'web-vda.raw', sourceKind: source.kind },
    ]);
  });

  it('the copy of an RBD image keeps its name', () => {
    expect(volumeNameFor(rbd, { vm: vm(), format: 'raw' })).toBe('web');
  });

  it('a name whose ending says nothing of the format stays', () => {
    const named = (path: string, from: string, to: 'raw' | 'qcow2') =>
      volumeNameFor(disk({ path, format: from }), { vm: vm(), format: to });
    expect(named('/a/web.img', 'raw', 'raw')).toBe('web.img');
    expect(named('/a/web.img', 'raw', 'qcow2')).toBe('web.qcow2');
    expect(named('/a/web', 'raw', 'qcow2')).toBe('web.qcow2');
    expect(named('/a/web.snap1', 'qcow2', 'qcow2')).toBe('web.snap1');
  });

  it('a disk without a pool on the target has no plan', () => {
    expect(planDisks(asked({ vm: withDisks(device) }))).toEqual([]);
  });
});

it('each image below a disk is a layer of its own, with a name of its own', () => {
  const chained = disk({ format: 'qcow2', backing: ['/images/mid.qcow2', '/base/base.qcow2'] });
  expect(
    layersOf([chained]).map(({ name, path, backing }) => [name, path, backing.length]),
  ).toEqual([
    ['vda', '/images/web.raw', 2],
    ['vda.1', '/images/mid.qcow2', 0],
    ['vda.2', '/base/base.qcow2', 0],
  ]);
});

describe('a chain that is kept', () => {
  const base = { format: 'raw', isFile: true, capacityBytes: 4, allocationBytes: 1 };
  const middle = { format: 'qcow2', isFile: true, capacityBytes: 6, allocationBytes: 2 };
  const chained = (changes: Partial<VmDisk> = {}) =>
    disk({
      ...{ path: '/images/web.qcow2', format: 'qcow2', capacityBytes: 8, allocationBytes: 3 },
      ...{ backing: ['/images/mid.qcow2', '/base/base.img'], layers: [middle, base] },
      ...changes,
    });
  const keep = (changes: Partial<DiskQuestion['request']> = {}) =>
    planDisks(
      asked({ vm: withDisks(chained()), request: { targetPool: '', chain: 'keep', ...changes } }),
    );

  it('is as many copies, the lowest first, each on the one before it', () => {
    expect(keep()).toMatchObject([
      { name: 'vda.2', sourcePath: '/base/base.img', targetFormat: 'raw', capacityBytes: 4 },
      { name: 'vda.1', sourcePath: '/images/mid.qcow2', liesOn: 'vda.2', capacityBytes: 6 },
      { name: 'vda', sourcePath: '/images/web.qcow2', liesOn: 'vda.1', capacityBytes: 8 },
    ]);
    expect(keep()[0]).not.toHaveProperty('liesOn');
  });

  it('has names of its own for the lower ones, which other VMs may lie on', () => {
    expect(keep().map(({ targetPath }) => targetPath)).toEqual([
      '/images/web-vda.2.raw',
      '/images/web-vda.1.qcow2',
      '/images/web.qcow2',
    ]);
    expect(keep().map(({ exclusive }) => exclusive)).toEqual([false, false, true]);
  });

  it('follows what was asked for its disk', () => {
    const pools = keep({ disks: { vda: { pool: 'default' } }, targetPool: 'no such' });
    expect(pools.map(({ targetPool }) => targetPool)).toEqual(['default', 'default', 'default']);
    expect(keep({ allocation: 'full' }).map(({ allocation }) => allocation)).toEqual([
      'full',
      'thin',
      'thin',
    ]);
  });

  it('is copied one by one, and disks side by side', () => {
    const second = disk({ name: 'vdb', path: '/images/b.raw' });
    const plans = planDisks(
      asked({
        vm: withDisks(chained(), second),
        request: { targetPool: '', chain: 'keep' },
      }),
    );
    expect(chainsOf(plans).map((chain) => chain.map(({ name }) => name))).toEqual([
      ['vda.2', 'vda.1', 'vda'],
      ['vdb'],
    ]);
  });

  it.each([
    ['nobody looked at the images', { layers: [] }, {}, 'does not tell'],
    ['one is no file', { layers: [middle, { ...base, isFile: false }] }, {}, '/base/base.img'],
    ['one is of another kind', { layers: [{ ...middle, format: 'vmdk' }, base] }, {}, 'mid.qcow2'],
    ['another format was asked for', {}, { targetFormat: 'raw' as const }, 'raw was asked for'],
    ['the top is a device', { kind: 'block' as const }, {}, 'no file'],
  ])('cannot be where %s', (_, changes, request, why) => {
    const question = asked({ request: { targetPool: '', chain: 'keep', ...request } });
    const wish = chainWish(chained(changes), question);
    expect(wish.keep).toBe(false);
    expect(wish.trouble).toContain(why);
  });

  it('cannot be in a pool without files', () => {
    const target = { pools: [pool({ type: 'rbd', path: '' })] };
    const question = asked({ target, request: { targetPool: '', chain: 'keep' } });
    expect(chainWish(chained(), question).trouble).toContain('does not hold files');
  });
});
