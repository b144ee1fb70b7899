import { describe, expect, it } from 'vitest';
import { sourceConcerns } from '../../../domain/checks/source.ts';
import { movedDisks } from '../../../domain/disk-plan.ts';
import type { SourceView } from '../../../domain/checks/source.ts';
import { blocks } from '../../../domain/concerns.ts';
import { disk, vm } from './facts.ts';

const view = (changes: Partial<SourceView> = {}): SourceView => ({
  vm: vm(),
  request: { shutdown: 'graceful' },
  neighbours: [],
  guard: { hookLive: true, detail: '' },
  ...changes,
});
const neighbour = { uuid: 'other', name: 'thief', running: true, macs: [] };

describe('nothing speaks against', () => {
  it.each<[string, SourceView]>([
    ['a VM that is off', view()],
    ['one that runs and may be shut down', view({ vm: vm({ state: 'running' }) })],
    ['one that this host owns', view({ ledger: { state: 'owner', note: '' } })],
    [
      'one whose own entry is among the neighbours',
      view({ neighbours: [{ ...neighbour, uuid: vm().uuid, diskPaths: ['/images/web.raw'] }] }),
    ],
    [
      'a direct kernel',
      view({ vm: vm({ hostFiles: [{ role: 'kernel', path: '/boot/vmlinuz' }] }) }),
    ],
  ])('%s', (_what, clean) => {
    expect(sourceConcerns(clean)).toEqual([]);
  });
});

describe('each concern names the thing, the host and a remedy', () => {
  it.each<[code: string, SourceView, message: string, remedy: string]>([
    [
      'guard-not-live',
      view({ guard: { hookLive: false, detail: 'it started a probe' } }),
      'the guard of alpha is not live: it started a probe',
      '`vmferry host` as root on alpha',
    ],
    [
      'not-owner',
      view({ ledger: { state: 'released', note: 'moved to beta' } }),
      'alpha does not own web: its ledger says released (moved to beta)',
      '`vmferry guard claim`',
    ],
    [
      'vm-transient',
      view({ vm: vm({ persistent: false }) }),
      'web on alpha is transient',
      'virsh dumpxml web',
    ],
    [
      'vm-running',
      view({ vm: vm({ state: 'running' }), request: { shutdown: 'refuse' } }),
      'web runs on alpha, and --shutdown refuse',
      '--shutdown graceful',
    ],
    [
      'vm-state',
      view({ vm: vm({ state: 'paused' }) }),
      'web on alpha is paused',
      'virsh resume web',
    ],
    [
      'managed-save',
      view({ vm: vm({ hasManagedSave: true }) }),
      'web on alpha has a managed save',
      'virsh managedsave-remove web',
    ],
    [
      'disk-kind-unsupported',
      view({ vm: vm({ disks: [disk({ device: 'lun', kind: 'block' })] }) }),
      'disk vda of web is a SCSI device passed through',
      'Detach it',
    ],
    [
      'disk-kind-unsupported',
      view({
        vm: vm({
          disks: [
            disk({
              kind: 'network',
              path: 'other:x',
              network: { protocol: 'other', name: 'x', hosts: [] },
            }),
          ],
        }),
      }),
      'disk vda of web is a network disk (other:x)',
      'Detach it',
    ],
    [
      'disk-format-unsupported',
      view({ vm: vm({ disks: [disk({ format: 'vmdk' })] }) }),
      'disk vda of web has the format vmdk',
      'qemu-img convert -O qcow2 /images/web.raw',
    ],
    [
      'disk-in-use',
      view({ neighbours: [{ ...neighbour, diskPaths: ['/images/web.raw'] }] }),
      'disk vda of web (/images/web.raw) also belongs to VM thief on alpha, which runs',
      'Detach it from thief',
    ],
    [
      'device-cannot-move',
      view({ vm: vm({ fixedDevices: ['hostdev pci 0000:03:00.0'] }) }),
      'web has a device that is bound to alpha: hostdev pci 0000:03:00.0',
      'Detach it',
    ],
    [
      'nvram-not-moved',
      view({ vm: vm({ hostFiles: [{ role: 'nvram', path: '/mine/web.fd' }] }) }),
      'web keeps UEFI variables in /mine/web.fd, outside',
      'Let libvirt keep them',
    ],
  ])('%s', (code, refused, message, remedy) => {
    const found = sourceConcerns(refused);
    expect(found.map((concern) => concern.code)).toEqual([code]);
    expect(found[0]).toMatchObject({ level: 'critical', host: 'alpha' });
    expect(found[0]?.message).toContain(message);
    expect(found[0]?.remedy).toContain(remedy);
  });
});

it('checkpoints are only warned of: they do not move', () => {
  const [found, ...more] = sourceConcerns(view({ vm: vm({ checkpoints: ['nightly'] }) }));
  expect(more).toEqual([]);
  expect(found).toMatchObject({ code: 'checkpoints', level: 'warning', host: 'alpha' });
  expect(found?.message).toContain('web on alpha has checkpoints (nightly)');
  expect(blocks([found!])).toBe(false);
});

it('everything that stands in the way is told at once', () => {
  const all = sourceConcerns(
    view({ vm: vm({ state: 'paused', hasManagedSave: true, fixedDevices: ['tpm passthrough'] }) }),
  );
  expect(all.map(({ code }) => code)).toEqual(['vm-state', 'managed-save', 'device-cannot-move']);
});

it('disks move, drives and empty slots do not', () => {
  const disks = [
    disk({ name: 'a', device: 'cdrom' }),
    disk({ name: 'b' }),
    disk({ name: 'c', kind: 'none' }),
    disk({ name: 'd', kind: 'block' }),
  ];
  expect(movedDisks(vm({ disks })).map(({ name }) => name)).toEqual(['b', 'd']);
});

it.each([
  ['cdrom', '/isos/a.iso', 'has a CD-ROM drive sda with /isos/a.iso'],
  ['floppy', '', 'has a floppy drive sda without a medium'],
] as const)('a %s drive is reported and forbids nothing', (device, path, message) => {
  const drive = disk({ name: 'sda', device, path, format: 'iso', shareable: true });
  const found = sourceConcerns(view({ vm: vm({ disks: [disk(), drive] }) }));
  expect(found).toMatchObject([{ code: 'removable-medium', level: 'information' }]);
  expect(found[0]?.message).toContain(message);
});

it.each(['readonly', 'shareable'] as const)('a %s disk may belong to others too', (flag) => {
  const neighbours = [{ ...neighbour, diskPaths: ['/images/web.raw'] }];
  const shared = vm({ disks: [disk({ [flag]: true })] });
  expect(sourceConcerns(view({ vm: shared, neighbours }))).toEqual([]);
});
