import { describe, expect, it } from 'vitest';
import { neededFiles, targetConcerns } from '../../../domain/checks/target.ts';
import type { TargetView } from '../../../domain/checks/target.ts';
import { beta, disk, gibibyte, pool, vm } from './facts.ts';

const view = (changes: Partial<TargetView> = {}): TargetView => ({
  vm: vm(),
  request: { targetPool: '' },
  target: beta(),
  sourceHostUuid: 'uuid-of-alpha',
  missingFiles: [],
  missingSecrets: [],
  existingVolumes: [],
  seen: {},
  ...changes,
});
const other = { uuid: 'other', name: 'other', running: false, macs: [] as string[], diskPaths: [] };
const nic = (kind: 'bridge' | 'network' | 'other', sourceName: string) => [
  { mac: '52:54:00:00:00:01', kind, sourceName },
];
/** A VM that leaves its firmware to libvirt, on a host that has some to choose from. */
const uefi = (loader: string, efiLoaders: string[], changes: Partial<TargetView> = {}) =>
  view({ vm: vm({ firmware: { loader, loaders: ['/fw/4m.fd'] } }), efiLoaders, ...changes });
const poolless = disk();
delete poolless.pool;

describe('nothing speaks against', () => {
  it.each<[string, TargetView]>([
    ['a host with room and all that the VM needs', view()],
    ['a VM that the host gave away before', view({ ledger: { state: 'released', note: '' } })],
    [
      'a libvirt network that is active there',
      view({ vm: vm({ nics: nic('network', 'default') }) }),
    ],
    [
      'a disk without a pool, where one is named',
      view({ vm: vm({ disks: [poolless] }), request: { targetPool: 'default' } }),
    ],
    ['a volume of that name in another pool', view({ existingVolumes: ['fast/web.raw'] })],
    ['the firmware that the source chooses from, too', uefi('', ['/fw/4m.fd'])],
    ['the firmware that was chosen before', uefi('/fw/2m.fd', ['/fw/4m.fd', '/fw/2m.fd'])],
    ['a VM without a disk', view({ vm: vm({ disks: [] }), target: beta({ pools: [] }) })],
  ])('%s', (_what, clean) => {
    expect(targetConcerns(clean)).toEqual([]);
  });
});

describe('each concern names the thing, the host and a remedy', () => {
  it.each<[code: string, TargetView, message: string, remedy: string]>([
    [
      'same-host',
      view({ sourceHostUuid: 'uuid-of-beta' }),
      'alpha and beta are the same machine (host UUID uuid-of-beta)',
      '--to',
    ],
    [
      'guard-not-live',
      view({ target: beta({ guard: { hookLive: false, detail: 'no hook' } }) }),
      'the guard of beta is not live: no hook',
      '`vmferry host` as root on beta',
    ],
    [
      'ownership-conflict',
      view({ ledger: { state: 'owner', note: 'claimed' } }),
      'the ledger of beta already says owner for web (claimed)',
      '`vmferry doctor`',
    ],
    [
      'uuid-taken',
      view({ target: beta({ vms: [{ ...other, uuid: vm().uuid, name: 'copy' }] }) }),
      `beta already has a VM with the UUID ${vm().uuid}: copy`,
      'virsh undefine copy',
    ],
    [
      'name-taken',
      view({ target: beta({ vms: [{ ...other, name: 'web' }] }) }),
      'beta already has another VM named web (other)',
      'virsh domrename web',
    ],
    [
      'mac-taken',
      view({
        vm: vm({ nics: [{ mac: '52:54:00:AA:00:01', kind: 'bridge', sourceName: 'br0' }] }),
        target: beta({ vms: [{ ...other, macs: ['52:54:00:aa:00:01'] }] }),
      }),
      'VM other on beta already has the MAC address 52:54:00:aa:00:01 of web',
      'virsh edit',
    ],
    [
      'bridge-missing',
      view({ vm: vm({ nics: nic('bridge', 'br9') }) }),
      'beta has no bridge br9, which the interface 52:54:00:00:00:01 of web needs',
      'Create the bridge on beta',
    ],
    [
      'network-missing',
      view({ vm: vm({ nics: nic('network', 'lan') }) }),
      'beta has no active libvirt network lan',
      'virsh net-start lan',
    ],
    [
      'interface-unsupported',
      view({ vm: vm({ nics: nic('other', '') }) }),
      'the interface 52:54:00:00:00:01 of web is neither',
      'Attach it to a bridge',
    ],
    [
      'pool-missing',
      view({ request: { targetPool: 'ssd' } }),
      'beta has no pool ssd for disk vda of web',
      'beta has: default',
    ],
    [
      'pool-missing',
      view({ vm: vm({ disks: [poolless] }), target: beta({ pools: [] }) }),
      'disk vda of web (/images/web.raw) lies in no libvirt pool on alpha',
      'beta has: none',
    ],
    [
      'pool-unusable',
      view({ target: beta({ pools: [pool({ active: false })] }) }),
      'pool default of beta is not active',
      'virsh pool-start default',
    ],
    [
      'pool-unusable',
      view({ target: beta({ pools: [pool({ type: 'iscsi' })] }) }),
      'pool default of beta is of type iscsi',
      '--pool',
    ],
    [
      'volume-exists',
      view({ existingVolumes: ['default/web.raw'] }),
      'beta already has a volume default/web.raw, where disk vda of web would go',
      'delete it there',
    ],
    [
      'volume-name-clash',
      view({
        vm: vm({ disks: [disk(), disk({ name: 'vdb', path: '/elsewhere/web.raw' })] }),
      }),
      'two disks of web would go to the same volume default/web.raw of beta',
      'Rename one',
    ],
    [
      'too-little-room',
      view({ target: beta({ pools: [pool({ availableBytes: 2 * gibibyte })] }) }),
      'pool default of beta has 2048 MiB free; the disks need 2112 MiB',
      '--pool',
    ],
    [
      'machine-unsupported',
      view({ target: beta({ machines: ['kvm/x86_64/pc'] }) }),
      'beta cannot run web: it has no emulator for kvm/x86_64/q35',
      'Install the emulator',
    ],
    [
      'host-file-missing',
      view({ missingFiles: ['/boot/vmlinuz'] }),
      'beta has no file /boot/vmlinuz, which web needs',
      'virsh change-media web',
    ],
    [
      'firmware-missing',
      uefi('', []),
      'libvirt on beta has no UEFI firmware for web; for q35 it offers: none',
      'Install the firmware of alpha there',
    ],
    [
      'firmware-missing',
      uefi('/fw/2m.fd', ['/fw/4m.fd']),
      'libvirt on beta has no UEFI firmware for web that is /fw/2m.fd; for q35 it offers: /fw/4m.fd',
      'descriptors',
    ],
    [
      'host-file-missing',
      uefi('/fw/2m.fd', ['/fw/4m.fd'], { missingFiles: ['/fw/2m.fd'] }),
      'beta has no file /fw/2m.fd',
      'Put the file there',
    ],
    [
      'machine-unsupported',
      view({
        vm: vm({ machine: 'virt', firmware: { loader: '', loaders: ['/fw/4m.fd'] } }),
      }),
      'it has no emulator for kvm/x86_64/virt',
      'Install the emulator',
    ],
    [
      'too-little-memory',
      view({ vm: vm({ memoryBytes: 16 * gibibyte }) }),
      'web has 16384 MiB of memory, beta only 8192 MiB',
      'bigger host',
    ],
  ])('%s', (code, refused, message, remedy) => {
    const found = targetConcerns(refused);
    expect(found.map((concern) => concern.code)).toEqual([code]);
    expect(found[0]).toMatchObject({ level: 'critical', host: 'beta' });
    expect(found[0]?.message).toContain(message);
    expect(found[0]?.remedy).toContain(remedy);
  });
});

describe('what may go wrong later is only warned of', () => {
  it.each<[code: string, TargetView, message: string]>([
    [
      'thin',
      view({ target: beta({ pools: [pool({ availableBytes: 5 * gibibyte })] }) }),
      'pool default of beta has room for the data (2112 MiB) but not for full disks (10240 MiB)',
    ],
    [
      'memory-tight',
      view({ vm: vm({ memoryBytes: 6 * gibibyte }) }),
      'beta has 4096 MiB of memory free now; web wants 6144 MiB',
    ],
  ])('%s', (code, tight, message) => {
    expect(targetConcerns(tight)).toMatchObject([
      { code, level: 'warning', host: 'beta', message },
    ]);
  });
});

it('another choice of firmware is told', () => {
  expect(targetConcerns(uefi('', ['/edk2/code.fd', '/fw/4m.fd']))).toMatchObject([
    {
      code: 'firmware-differs',
      level: 'information',
      host: 'beta',
      message:
        'libvirt chooses the UEFI firmware of web: on alpha from /fw/4m.fd, on beta from /edk2/code.fd, /fw/4m.fd',
    },
  ]);
});

it('the room of a pool is reckoned over all disks that go there', () => {
  const disks = [disk(), disk({ name: 'vdb', path: '/images/web-data.raw' })];
  const roomFor = (availableBytes: number) =>
    targetConcerns(
      view({ vm: vm({ disks }), target: beta({ pools: [pool({ availableBytes })] }) }),
    );
  expect(roomFor(3 * gibibyte)).toMatchObject([{ code: 'too-little-room' }]);
  expect(roomFor(5 * gibibyte)).toMatchObject([{ code: 'thin' }]);
  expect(roomFor(20 * gibibyte)).toEqual([]);
});

it('needed files are kernels and media, not the variables of UEFI and not the disks', () => {
  const facts = vm({
    hostFiles: [
      { role: 'kernel', path: '/k' },
      { role: 'nvram', path: '/n' },
    ],
    disks: [
      disk(),
      disk({ device: 'cdrom', path: '/cd.iso' }),
      disk({ device: 'cdrom', path: '' }),
    ],
  });
  expect(neededFiles(facts).map(({ path }) => path)).toEqual(['/k', '/cd.iso']);
});

it("the target's own pools are told in one order, however libvirt lists them", () => {
  const target = beta({ pools: [pool({ name: 'fast' }), pool()] });
  const [found] = targetConcerns(view({ target, request: { targetPool: 'ssd' } }));
  expect(found?.remedy).toContain('beta has: default, fast.');
});

describe('secrets of libvirt', () => {
  const secret = { uuid: '11111111-2222-4333-8444-555555555555' };

  it('one that the source gives out is made on the target', () => {
    const facts = vm({ secrets: [{ ...secret, readable: true }] });
    expect(targetConcerns(view({ vm: facts, missingSecrets: [secret] }))).toMatchObject([
      { code: 'secret-moves', level: 'information', host: 'beta' },
    ]);
  });

  it('one that libvirt gives to nobody has to be there', () => {
    const facts = vm({ secrets: [{ ...secret, readable: false }] });
    const [found] = targetConcerns(view({ vm: facts, missingSecrets: [secret] }));
    expect(found).toMatchObject({ code: 'secret-missing', level: 'critical', host: 'beta' });
    expect(found?.remedy).toContain('virsh secret-set-value');
  });
});

it('a device that is shared by word has to be there', () => {
  const facts = vm({ disks: [disk({ kind: 'block', path: '/dev/sdb' })] });
  expect(neededFiles(facts, { sharedDisks: ['vda'] }).map(({ path }) => path)).toEqual([
    '/dev/sdb',
  ]);
  expect(neededFiles(facts)).toEqual([]);
});
