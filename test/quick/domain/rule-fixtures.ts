/** For each rule a case in which it speaks; a test holds that none is missing. */
import type { SourceView, TargetView } from '../../../domain/checks/views.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import type { VmDisk, VmFacts, VmNic } from '../../../domain/vm.ts';
import { beta, disk, gibibyte, machine, pool, vm } from './facts.ts';

export const live = defaultLiveWishes;

/** A VM that any host takes while it runs. */
export const runningVm = (changes: Partial<VmFacts> = {}): VmFacts =>
  vm({
    state: 'running',
    running: { cpu: '<cpu/>', cpuTies: [], drift: [], jobs: [], files: [] },
    ...changes,
  });

export const onSource = (changes: Partial<SourceView> = {}): SourceView => ({
  vm: runningVm(),
  request: { shutdown: 'graceful', live },
  neighbours: [],
  guard: { hookLive: true, detail: '' },
  machine: machine(),
  ...changes,
});

export const onTarget = (changes: Partial<TargetView> = {}): TargetView => ({
  vm: runningVm(),
  request: { targetPool: '', live },
  target: beta(),
  sourceHostUuid: 'uuid-of-alpha',
  missingFiles: [],
  missingSecrets: [],
  existingVolumes: [],
  seen: {},
  machine: machine({ hostname: 'beta' }),
  sourceMachine: machine(),
  cpu: { verdict: 'fits', detail: '' },
  ...changes,
});

interface Fixture<View> {
  code: string;
  view: View;
  /** Of the message. */
  says: string;
}

const cold = { shutdown: 'graceful' } as const;
const off = (changes: Partial<VmFacts> = {}): SourceView =>
  onSource({ vm: vm(changes), request: cold });
const neighbour = { uuid: 'o', name: 'other', running: true, macs: [] as string[], diskPaths: [] };
const running = (changes: Partial<NonNullable<VmFacts['running']>>): VmFacts =>
  runningVm({ running: { cpu: '', cpuTies: [], drift: [], jobs: [], files: [], ...changes } });
const probe = {
  address: '198.51.100.12',
  libvirtd: 'ready',
  detail: '',
  portsFiltered: false,
} as const;

export const sourceFixtures: Fixture<SourceView>[] = [
  {
    code: 'guard-not-live',
    view: onSource({ guard: { hookLive: false, detail: 'no hook' } }),
    says: 'the guard of alpha is not live: no hook',
  },
  {
    code: 'not-owner',
    view: onSource({ ledger: { state: 'released', note: '' } }),
    says: 'alpha does not own web',
  },
  {
    code: 'vm-transient',
    view: onSource({ vm: runningVm({ persistent: false }) }),
    says: 'transient',
  },
  {
    code: 'vm-running',
    view: onSource({ request: { shutdown: 'refuse' } }),
    says: '--shutdown refuse',
  },
  { code: 'vm-state', view: off({ state: 'paused' }), says: 'web on alpha is paused' },
  {
    code: 'vm-not-running',
    view: onSource({ vm: vm({ state: 'paused' }) }),
    says: 'web on alpha is paused; only a running VM moves live',
  },
  {
    code: 'live-definition-differs',
    view: onSource({ vm: running({ drift: ['disk vdb (/x) is not in the definition'] }) }),
    says: 'otherwise than it is defined: disk vdb (/x) is not in the definition',
  },
  {
    code: 'live-job-running',
    view: onSource({ vm: running({ jobs: ['disk vda has a block job (copy)'] }) }),
    says: 'cannot move live now: disk vda has a block job (copy)',
  },
  {
    code: 'managed-save',
    view: onSource({ vm: runningVm({ hasManagedSave: true }) }),
    says: 'managed save',
  },
  {
    code: 'checkpoints',
    view: onSource({ vm: runningVm({ checkpoints: ['daily'] }) }),
    says: 'daily',
  },
  {
    code: 'live-snapshots',
    view: onSource({ vm: runningVm({ snapshots: ['before-update'] }) }),
    says: 'snapshots (before-update)',
  },
  {
    code: 'cpu-tied',
    view: onSource({ vm: running({ cpuTies: ['it has the feature invtsc'] }) }),
    says: 'the CPU of web cannot leave alpha: it has the feature invtsc',
  },
  {
    code: 'disk-kind-unsupported',
    view: onSource({ vm: runningVm({ disks: [disk({ device: 'lun', kind: 'block' })] }) }),
    says: 'SCSI device passed through',
  },
  {
    code: 'disk-format-unsupported',
    view: onSource({ vm: runningVm({ disks: [disk({ format: 'vdi' })] }) }),
    says: 'the format vdi',
  },
  {
    code: 'disk-in-use',
    view: onSource({ neighbours: [{ ...neighbour, diskPaths: ['/images/web.raw'] }] }),
    says: 'belongs to VM other on alpha',
  },
  {
    code: 'device-cannot-move',
    view: onSource({ vm: runningVm({ fixedDevices: ['hostdev pci 0000:03:00.0'] }) }),
    says: 'hostdev pci 0000:03:00.0',
  },
  {
    code: 'nvram-not-moved',
    view: onSource({ vm: runningVm({ hostFiles: [{ role: 'nvram', path: '/mine.fd' }] }) }),
    says: '/mine.fd',
  },
  {
    code: 'removable-medium',
    view: onSource({
      vm: runningVm({ disks: [disk(), disk({ name: 'sda', device: 'cdrom', path: '' })] }),
    }),
    says: 'CD-ROM drive sda without a medium',
  },
  {
    code: 'live-port-unreachable',
    view: onSource({ probe: { ...probe, libvirtd: 'unreachable', detail: 'ECONNREFUSED' } }),
    says: 'alpha cannot reach libvirtd at 198.51.100.12: ECONNREFUSED',
  },
  {
    code: 'live-credentials',
    view: onSource({ probe: { ...probe, libvirtd: 'refused', detail: 'not signed' } }),
    says: 'would not be let in at 198.51.100.12: not signed',
  },
  {
    code: 'live-credentials-unread',
    view: onSource({ probe: { ...probe, libvirtd: 'untried', detail: 'EACCES' } }),
    says: 'nobody could try the certificate',
  },
  {
    code: 'live-ports-filtered',
    view: onSource({ probe: { ...probe, portsFiltered: true } }),
    says: 'no answer at port 49152',
  },
  {
    code: 'live-qemu-certificates',
    view: onSource({
      machine: machine({ qemuTls: { folder: '/etc/pki/qemu', missing: ['client-key.pem'] } }),
    }),
    says: 'alpha has no client-key.pem in /etc/pki/qemu',
  },
];

const only = (changes: Partial<VmDisk>): Partial<TargetView> => ({
  vm: runningVm({ disks: [disk(changes)] }),
});
const seen = { vda: { kind: 'file' as const, path: '/images/web.raw' } };
const asked = (more: Partial<TargetView['request']>): TargetView['request'] => ({
  targetPool: '',
  live,
  ...more,
});
const nic = (kind: VmNic['kind'], sourceName: string): Partial<TargetView> => ({
  vm: runningVm({ nics: [{ mac: '52:54:00:00:00:01', kind, sourceName }] }),
});
const cpu = machine().cpu!;
const chained = {
  format: 'qcow2',
  path: '/images/web.qcow2',
  backing: ['/images/base.qcow2'],
  layers: [{ format: 'qcow2', isFile: true, capacityBytes: gibibyte, allocationBytes: 1 }],
};
const efi = (changes: Partial<TargetView>): Partial<TargetView> => ({
  vm: runningVm({ firmware: { loader: '', loaders: ['/fw/a.fd'] } }),
  ...changes,
});
const secret = { uuid: 'aaaa', readable: true };

/** Each of the target's cases, made from one in which nothing speaks. */
const targetCases: [code: string, Partial<TargetView>, says: string][] = [
  ['same-host', { sourceHostUuid: 'uuid-of-beta' }, 'are the same machine'],
  [
    'guard-not-live',
    { target: beta({ guard: { hookLive: false, detail: 'no hook' } }) },
    'the guard of beta is not live',
  ],
  ['ownership-conflict', { ledger: { state: 'owner', note: '' } }, 'already says owner for web'],
  [
    'uuid-taken',
    { target: beta({ vms: [{ ...neighbour, uuid: vm().uuid }] }) },
    'a VM with the UUID',
  ],
  [
    'name-taken',
    { target: beta({ vms: [{ ...neighbour, name: 'web' }] }) },
    'another VM named web',
  ],
  [
    'mac-taken',
    { target: beta({ vms: [{ ...neighbour, macs: ['52:54:00:00:00:01'] }] }) },
    'the MAC address 52:54:00:00:00:01 of web',
  ],
  ['bridge-missing', nic('bridge', 'br9'), 'no bridge br9'],
  ['network-missing', nic('network', 'lab'), 'no active libvirt network lab'],
  ['interface-unsupported', nic('other', ''), 'neither on a bridge nor on a libvirt network'],
  [
    'mtu-smaller',
    { sourceMachine: machine({ mtus: { bridges: { br0: 9000 }, networks: {} } }) },
    'the bridge br0 has the MTU 1500 on beta and 9000 on alpha',
  ],
  ['disk-unknown', { request: asked({ sharedDisks: ['vdz'] }) }, 'has no disk vdz'],
  [
    'disk-in-use',
    { seen, target: beta({ vms: [{ ...neighbour, diskPaths: ['/images/web.raw'] }] }) },
    'belongs to VM other on beta',
  ],
  [
    'shared-by-word',
    { request: { targetPool: '', sharedDisks: ['vda'] } },
    'is shared by your word; alpha and beta compare all of it',
  ],
  [
    'live-shared-unproved',
    { request: asked({ sharedDisks: ['vda'] }) },
    'can be proved only while web is off',
  ],
  ['live-cache-mode', { seen, ...only({ cache: 'writeback' }) }, 'its cache mode is writeback'],
  ['storage-not-shared', { request: asked({ storage: 'shared' }) }, 'does not see disk vda'],
  ['disk-shared', only({ shareable: true }), 'is marked shareable: other guests'],
  ['disk-encrypted', only({ encrypted: true, format: 'qcow2' }), 'encrypted inside a qcow2 image'],
  ['live-encrypted-copy', only({ encrypted: true }), 'encrypted by alpha'],
  ['live-readonly-copy', only({ readonly: true }), 'is read-only and on no storage'],
  [
    'chain-cannot-be-kept',
    { request: asked({ chain: 'keep' }), ...only({ backing: ['/b'], layers: [] }) },
    'the chain cannot arrive as it is',
  ],
  ['chain-kept', { request: asked({ chain: 'keep' }), ...only(chained) }, 'each image is copied'],
  ['chain-flattened', only(chained), 'the copy holds all of it in one image'],
  [
    'live-chain-kept',
    { request: asked({ chain: 'keep' }), ...only(chained) },
    'a live move cannot keep them apart',
  ],
  [
    'live-allocation-lost',
    { request: asked({ allocation: 'full' }) },
    'gives back what holds zeroes',
  ],
  [
    'live-size-differs',
    {
      target: beta({ pools: [pool({ type: 'logical' })] }),
      ...only({ capacityBytes: gibibyte + 512 }),
    },
    'no whole extents of 4 MiB',
  ],
  ['pool-missing', { target: beta({ pools: [] }) }, 'beta has no pool default'],
  ['pool-unusable', { target: beta({ pools: [pool({ active: false })] }) }, 'is not active'],
  [
    'format-unfit',
    {
      target: beta({ pools: [pool({ type: 'logical' })] }),
      request: asked({ targetFormat: 'qcow2' }),
    },
    'holds devices, which are made raw',
  ],
  [
    'volume-name-clash',
    { vm: runningVm({ disks: [disk(), disk({ name: 'vdb', path: '/other/web.raw' })] }) },
    'two disks of web would go to the same volume',
  ],
  [
    'volume-exists',
    { existingVolumes: ['default/web.raw'] },
    'already has a volume default/web.raw',
  ],
  [
    'room-unknown',
    { target: beta({ pools: [pool({ capacityBytes: 0, availableBytes: 0 })] }) },
    'pool default of beta does not tell how large it is',
  ],
  [
    'too-little-room',
    { target: beta({ pools: [pool({ availableBytes: gibibyte })] }) },
    'has 1024 MiB free',
  ],
  [
    'thin',
    { target: beta({ pools: [pool({ availableBytes: 5 * gibibyte })] }) },
    'not for full disks',
  ],
  ['snapshots', { request: { targetPool: '' }, vm: vm({ snapshots: ['s'] }) }, 'would be lost: s'],
  [
    'snapshots-move',
    { request: { targetPool: '' }, seen, vm: vm({ snapshots: ['s'] }) },
    'what libvirt knows of them moves too',
  ],
  [
    'shareable-unlocked',
    { seen, ...only({ shareable: true, cache: 'none' }) },
    'has no lock manager',
  ],
  ['machine-unsupported', { target: beta({ machines: [] }) }, 'no emulator for kvm/x86_64/q35'],
  [
    'cpu-incompatible',
    { cpu: { verdict: 'incompatible', detail: 'missing features: avx2' } },
    'beta cannot offer the CPU that web has: missing features: avx2',
  ],
  [
    'cpu-not-compared',
    { cpu: { verdict: 'unknown', detail: 'not supported' } },
    'cannot compare the CPU of web: not supported',
  ],
  [
    'cpu-not-startable',
    { request: { targetPool: '' }, cpu: { verdict: 'incompatible', detail: 'missing: avx2' } },
    'beta could not start web with the CPU of its definition: missing: avx2',
  ],
  [
    'cpu-vendor-differs',
    { machine: machine({ hostname: 'beta', cpu: { ...cpu, vendor: 'GenuineIntel' } }) },
    'runs on a CPU of AuthenticAMD; that of beta is of GenuineIntel',
  ],
  [
    'cpu-not-64-bit',
    { machine: machine({ hostname: 'beta', cpu: { ...cpu, has64Bit: false } }) },
    'no 64-bit mode',
  ],
  [
    'nx-missing',
    { machine: machine({ hostname: 'beta', cpu: { ...cpu, hasNx: false } }) },
    'has no nx',
  ],
  ['host-file-missing', { missingFiles: ['/fw/a.fd'] }, 'beta has no file /fw/a.fd'],
  ['too-little-memory', { vm: runningVm({ memoryBytes: 16 * gibibyte }) }, 'only 8192 MiB in all'],
  ['memory-tight', { vm: runningVm({ memoryBytes: 6 * gibibyte }) }, 'of memory free now'],
  ['firmware-missing', efi({ efiLoaders: [] }), 'has no UEFI firmware for web'],
  ['firmware-differs', efi({ efiLoaders: ['/fw/b.fd'] }), 'on beta from /fw/b.fd'],
  [
    'live-state-overwritten',
    { presentState: ['/var/lib/libvirt/qemu/nvram/web_VARS.fd'] },
    'beta already has /var/lib/libvirt/qemu/nvram/web_VARS.fd',
  ],
  [
    'kernel-differs',
    { machine: machine({ hostname: 'beta', kernel: '6.12.1' }) },
    'alpha runs the kernel 6.1.0-30-amd64, beta runs 6.12.1',
  ],
  [
    'kernel-older',
    { machine: machine({ hostname: 'beta', kernel: '6.1.0-29-amd64' }) },
    'alpha runs the kernel 6.1.0-30-amd64, beta runs 6.1.0-29-amd64',
  ],
  [
    'microcode-differs',
    { machine: machine({ hostname: 'beta', cpu: { ...cpu, microcode: '0xa0011d2' } }) },
    'runs the microcode 0xa0011d1, that of beta 0xa0011d2',
  ],
  [
    'microcode-older',
    { machine: machine({ hostname: 'beta', cpu: { ...cpu, microcode: '0xa0011d0' } }) },
    'runs the microcode 0xa0011d1, that of beta 0xa0011d0',
  ],
  ['hostname-clash', { target: beta({ hostname: 'alpha' }) }, 'both have the hostname alpha'],
  [
    'clock-skew',
    { machine: machine({ hostname: 'beta', clockAheadMs: -3480 }) },
    'the clock of beta is about 3.5 s behind that of alpha',
  ],
  [
    'secret-moves',
    {
      request: { targetPool: '' },
      vm: vm({ secrets: [secret] }),
      missingSecrets: [{ uuid: 'aaaa' }],
    },
    'made there with the value that alpha holds',
  ],
  ['secret-missing', { missingSecrets: [{ uuid: 'aaaa' }] }, 'does not give its value out'],
  [
    'live-secret-missing',
    { vm: runningVm({ secrets: [secret] }), missingSecrets: [{ uuid: 'aaaa' }] },
    'a live move does not take along',
  ],
  [
    'live-qemu-certificates',
    {
      machine: machine({
        hostname: 'beta',
        qemuTls: { folder: '/etc/pki/qemu', missing: ['server-cert.pem', 'client-key.pem'] },
      }),
    },
    'beta has no server-cert.pem in /etc/pki/qemu',
  ],
];

export const targetFixtures: Fixture<TargetView>[] = targetCases.map(([code, changes, says]) => ({
  code,
  view: onTarget(changes),
  says,
}));
