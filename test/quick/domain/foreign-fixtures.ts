/** For each rule of imports a case in which it speaks; a test holds that none is missing. */
import { importConcerns } from '../../../domain/checks/foreign/concerns.ts';
import type { AlsoKnown } from '../../../domain/checks/foreign/concerns.ts';
import type { Concern } from '../../../domain/concerns.ts';
import type { ForeignDisk, ForeignVm } from '../../../domain/foreign.ts';
import type { ConversionHostFacts, ImportQuestion, ImportRequest } from '../../../domain/import.ts';
import type { HostFacts } from '../../../domain/host.ts';
import { beta, gibibyte, pool } from './facts.ts';
import {
  conversionHost,
  foreignDisk,
  foreignNic,
  foreignVm,
  importQuestion,
  importRequest,
} from './foreign-facts.ts';

/** A change of the case in which nothing speaks. */
export interface ForeignCase {
  vm?: Partial<ForeignVm>;
  request?: Partial<ImportRequest>;
  target?: Partial<HostFacts>;
  host?: Partial<ConversionHostFacts>;
  known?: AlsoKnown;
}

export const questionOf = ({ vm, request, target, host }: ForeignCase): ImportQuestion =>
  importQuestion({
    vm: foreignVm(vm),
    request: importRequest(request),
    target: beta(target),
    conversionHost: conversionHost(host),
  });

export const foundIn = (given: ForeignCase): Concern[] =>
  importConcerns(questionOf(given), given.known);

const running = (changes: Partial<ForeignVm> = {}): Partial<ForeignVm> => ({
  kind: 'kvm',
  state: 'running',
  ...changes,
});
const kvm: Partial<ConversionHostFacts> = {
  providers: [{ name: 'files', kind: 'kvm', address: 'old-host' }],
};
const disks = (...changes: Partial<ForeignDisk>[]): Partial<ForeignVm> => ({
  disks: changes.map((each, index) => foreignDisk({ key: `disk${index + 1}`, ...each })),
});
const neighbour = { uuid: 'o', name: 'other', running: true, macs: [] as string[], diskPaths: [] };
const uefi: Partial<ForeignVm> = { firmware: 'uefi' };
const storage = (changes: Partial<ImportRequest['storage']>): Partial<ImportRequest> => ({
  storage: { pool: 'default', format: 'qcow2', ...changes },
});

type Row = [code: string, given: ForeignCase, says: string];

const vmRows: Row[] = [
  ['state-unfit', { vm: running({ state: 'other' }), host: kvm }, 'web is in a state of its own'],
  ['paused-hears-nothing', { vm: running({ state: 'paused' }), host: kvm }, 'web is paused'],
  ['source-crashed', { vm: running({ state: 'crashed' }), host: kvm }, 'web crashed'],
  ['source-stops', { vm: running(), host: kvm }, 'web is running; it is shut down first'],
  [
    'source-forced-off',
    { vm: running(), host: kvm, request: { running: 'force-off' } },
    'its power is cut',
  ],
  [
    'shutdown-unheard',
    { vm: running({ kind: 'vsphere', guestNetwork: [] }) },
    'web may not hear that it is to shut down',
  ],
  [
    'becomes-clone',
    { vm: running(), host: kvm, request: { running: 'leave' } },
    'web stays running at its source; what comes is a clone',
  ],
  [
    'clone-unreadable',
    { vm: running({ kind: 'vsphere' }), request: { running: 'leave' } },
    'web is running, and the disks of a VM of vSphere are read only while it is off',
  ],
  ['name-invalid', { vm: { name: 'a/b' } }, 'no VM can be called "a/b": it has a slash'],
  ['name-not-dns', { vm: { name: 'Web Server (old)' } }, '"Web Server (old)" is no name of a host'],
  ['uuid-missing', { vm: { uuid: '' } }, 'web has no UUID'],
  ['cpus-unfit', { vm: { cpus: 0 } }, 'web would have 0 CPUs'],
  ['memory-unfit', { request: { shape: { memoryBytes: 4096 } } }, 'web would have 1 MiB'],
  [
    'sockets-change',
    { vm: { cpus: 4, coresPerSocket: 4 }, request: { shape: { cpus: 3 } } },
    'web would have 3 CPUs, and has 4 cores in a socket',
  ],
  ['platform-settings-stay', { vm: { kind: 'vsphere' } }, 'rules of DRS and HA'],
  ['no-disk', { vm: { disks: [] } }, 'web has no disk'],
  ['disk-encrypted', { vm: disks({ encrypted: true }) }, 'disk disk1 of web (web-disk1.vmdk)'],
  ['disk-raw', { vm: disks({ raw: true }) }, 'disk disk1 of web (web-disk1.vmdk) is a raw device'],
  ['disk-raw-copied', { vm: { kind: 'kvm', ...disks({ raw: true }) } }, 'is a raw device'],
  [
    'disk-over-network',
    { vm: running(disks({ path: 'rbd:pool/web' })), host: kvm },
    'disk disk1 of web (rbd:pool/web) is reached over the network',
  ],
  ['disk-shared', { vm: disks({}, { shared: true }) }, 'disk disk2 of web'],
  ['disk-independent', { vm: disks({ independent: true }) }, 'is left out of snapshots'],
  [
    'disk-independent-running',
    { vm: running(disks({ independent: true })), host: kvm, request: { running: 'pause' } },
    'is left out of snapshots',
  ],
  ['disk-size-unknown', { vm: disks({ capacityBytes: 0 }) }, 'how large disk disk1 of web'],
  [
    'disk-stays',
    { vm: disks({}, {}), request: { shape: { disks: ['disk1'] } } },
    'disk disk2 of web (web-disk1.vmdk) stays behind',
  ],
  ['snapshots-stay', { vm: { snapshots: ['a', 'b'] } }, 'web has 2 snapshots (a, b)'],
  [
    'boot-driver-unsure',
    { request: { convert: 'no' } },
    'the boot disk disk1 of web is on scsi, and will be on sata',
  ],
  [
    'passthrough-device',
    { vm: { fixedDevices: ['PCI passthrough 0000:03:00.0'] } },
    'web has a device of its host: PCI passthrough 0000:03:00.0',
  ],
  [
    'nic-of-host',
    { vm: { fixedDevices: ['SR-IOV network card vmnic4'] } },
    'a network card of web belongs to its host: SR-IOV network card vmnic4',
  ],
  ['usb-device', { vm: { fixedDevices: ['hostdev usb 1d6b:0002'] } }, 'hostdev usb 1d6b:0002'],
  ['device-stays', { vm: { fixedDevices: ['filesystem /srv'] } }, 'filesystem /srv'],
  ['cdrom-stays', { vm: { cdroms: ['', '', '', ''] } }, 'web has 4 CD-ROM drives, of which 3'],
  ['medium-stays', { vm: { cdroms: ['[ds] a.iso'] } }, 'hold [ds] a.iso, and come along empty'],
  [
    'secure-boot-impossible',
    { request: { shape: { secureBoot: true } } },
    'web starts by BIOS, which has no Secure Boot',
  ],
  ['secure-boot-anew', { vm: { ...uefi, secureBoot: true } }, 'with the keys of the target'],
  [
    'secure-boot-off',
    { vm: { ...uefi, secureBoot: true }, request: { shape: { secureBoot: false } } },
    'web comes without its Secure Boot',
  ],
  ['tpm-state-stays', { vm: { tpm: true } }, 'web has a TPM and comes with a new, empty one'],
  ['uefi-variables-stay', { vm: uefi }, 'web starts by UEFI'],
  ['uefi-path-unsure', { vm: uefi, request: { convert: 'no' } }, 'web starts by UEFI'],
  [
    'guest-unsupported',
    { vm: { guestOs: 'freebsd13_64Guest', guestFamily: 'other' } },
    'web has FreeBSD ("freebsd13_64Guest"), which is not converted',
  ],
  [
    'guest-outdated',
    { vm: { guestOs: 'winXPProGuest', guestFamily: 'windows' } },
    'web has Windows XP or 2003 ("winXPProGuest")',
  ],
  [
    'guest-unknown',
    { vm: { guestOs: '', guestFamily: 'other' } },
    'not known which system web has',
  ],
  [
    'windows-asleep-unseen',
    { vm: { guestOs: 'windows2019srv_64Guest', guestFamily: 'windows' } },
    'whether its Windows is hibernated',
  ],
  [
    'no-nic',
    { vm: { nics: [] }, request: { defaultNetwork: 'network:default' } },
    'web has no network card, and gets one',
  ],
  ['mac-missing', { vm: { nics: [foreignNic({ mac: '' })] } }, 'card "nic1" of web has no MAC'],
  [
    'mac-unusable',
    { vm: { nics: [foreignNic({ mac: '01:00:5e:00:00:01' })] } },
    '"01:00:5e:00:00:01", which is none for a card',
  ],
  [
    'mac-twice',
    { vm: { nics: [foreignNic(), foreignNic({ key: 'nic2', mac: '00:50:56:00:00:01' })] } },
    'several cards of web have the MAC address 00:50:56:00:00:01',
  ],
  [
    'nic-disconnected',
    { vm: { nics: [foreignNic({ connected: false })] } },
    'one card of web is unplugged at the source',
  ],
  ['addresses-unknown', { vm: running({ guestNetwork: [] }), host: kvm }, 'runs and tells no'],
  ['addresses-unknown-off', { vm: { guestNetwork: [] } }, 'web is off and tells no addresses'],
  [
    'addresses-not-kept',
    { request: { convert: 'no' } },
    'web has the static addresses 198.51.100.7 and is not converted',
  ],
];

const requestRows: Row[] = [
  [
    'disk-unknown',
    { request: { shape: { disks: ['vdz'] } } },
    'web has no disk "vdz"; it has: disk1',
  ],
  [
    'nic-unfit',
    { request: { shape: { nics: [{ key: 'nic9' }] } } },
    'web has no network card "nic9"; it has: nic1',
  ],
  [
    'volume-name-unfit',
    { request: { shape: { volumes: [{ key: 'disk1', name: 'a/b' }] } } },
    'no volume can be called "a/b"',
  ],
  [
    'addresses-unfit',
    { request: { shape: { addresses: [{ key: 'nic1', addresses: ['198.51.100.30'] }] } } },
    'card "nic1" of web: "198.51.100.30" is no address of a card with its prefix',
  ],
  ['network-unmapped', { request: { networks: {} } }, '"VM Network" of web is mapped to nothing'],
  [
    'wish-without-effect',
    { request: { convert: 'no', root: '/dev/sda2', shape: { bus: 'virtio-blk' } } },
    'web is not converted, and was asked to have disks on virtio-blk, a root device',
  ],
];

const targetRows: Row[] = [
  [
    'guard-not-live',
    { target: { guard: { hookLive: false, detail: 'no hook' } } },
    'the guard of beta is not live: no hook',
  ],
  [
    'ownership-conflict',
    { known: { ledger: { state: 'owner', note: 'claimed' } } },
    'the ledger of beta already says owner for web (claimed)',
  ],
  [
    'came-before',
    { known: { ledger: { state: 'released', note: 'moved to gamma' } } },
    'the ledger of beta already says released for web (moved to gamma)',
  ],
  [
    'uuid-taken',
    { target: { vms: [{ ...neighbour, uuid: foreignVm().uuid }] } },
    'beta already has a VM with the UUID',
  ],
  ['name-taken', { target: { vms: [{ ...neighbour, name: 'web' }] } }, 'another VM named web (o)'],
  [
    'mac-taken',
    { target: { vms: [{ ...neighbour, macs: ['00:50:56:00:00:01'] }] } },
    'VM other on beta already has the MAC address 00:50:56:00:00:01 of web',
  ],
  [
    'bridge-missing',
    { target: { bridges: ['br1'] } },
    'beta has no bridge br0 for web; it has: br1',
  ],
  [
    'network-missing',
    { request: { networks: { 'VM Network': 'network:lan' } } },
    'beta has no active libvirt network lan for web; it has: default',
  ],
  [
    'storage-unmapped',
    { request: storage({ pool: '' }) },
    'no pool is named for disk disk1 of web',
  ],
  ['pool-missing', { request: storage({ pool: 'ssd' }) }, 'beta has no pool ssd for disk disk1'],
  [
    'pool-unusable',
    { target: { pools: [pool({ active: false })] } },
    'pool default of beta cannot take disk disk1 of web',
  ],
  [
    'format-unfit',
    { target: { pools: [pool({ type: 'logical' })] } },
    'pool default of beta holds raw volumes only; disk disk1 of web would be qcow2',
  ],
  [
    'disk-larger-than-pool',
    { target: { pools: [pool({ capacityBytes: 5 * gibibyte })] } },
    'disk disk1 of web has 10240 MiB, all of pool default of beta 5120 MiB',
  ],
  [
    'room-unknown',
    { target: { pools: [pool({ capacityBytes: 0, availableBytes: 0 })] } },
    'the disks of web need 2048 MiB there now and 10240 MiB once they are full',
  ],
  [
    'too-little-room',
    { target: { pools: [pool({ availableBytes: 2 * gibibyte })] } },
    'has 2048 MiB free; the disks of web need 2112 MiB',
  ],
  [
    'thin',
    { target: { pools: [pool({ availableBytes: 5 * gibibyte })] } },
    'the disks of web need 2048 MiB now and 10240 MiB once they are full',
  ],
  [
    'volume-exists',
    { known: { existingVolumes: ['default/web-0.qcow2'] } },
    'beta already has a volume default/web-0.qcow2, where disk disk1 of web would go',
  ],
  [
    'machine-unsupported',
    { vm: { arch: 'aarch64' }, request: { convert: 'no' } },
    'it has no emulator for aarch64/q35',
  ],
  [
    'target-emulates',
    { target: { machines: ['qemu/x86_64/q35'] } },
    'beta has no KVM for x86_64/q35 and would emulate web',
  ],
  ['firmware-missing', { vm: uefi, known: { offer: { efiLoaders: [] } } }, 'beta has no firmware'],
  [
    'secure-boot-missing',
    {
      vm: { ...uefi, secureBoot: true },
      known: { offer: { efiLoaders: ['/fw/a.fd'], secureBoot: false } },
    },
    'beta has no firmware with Secure Boot for web',
  ],
  [
    'tpm-missing',
    { vm: { tpm: true }, known: { offer: { efiLoaders: [], tpm: false } } },
    'beta cannot emulate a TPM for web',
  ],
  ['too-many-vcpus', { request: { shape: { cpus: 5 } } }, 'web would have 5 CPUs, beta has 4'],
  [
    'too-little-memory',
    { vm: { memoryBytes: 16 * gibibyte } },
    'web would have 16384 MiB of memory, beta has 8192 MiB in all',
  ],
  [
    'memory-tight',
    { vm: { memoryBytes: 6 * gibibyte } },
    'beta has 4096 MiB of memory free now; web would have 6144 MiB',
  ],
];

const conversionRows: Row[] = [
  ['provider-unknown', { host: { providers: [] } }, 'gamma has no provider files; it has: none'],
  ['provider-of-another-kind', { host: kvm }, 'provider files of gamma is kvm, web is of ova'],
  ['conversion-host-disabled', { known: { enabled: false } }, 'gamma is disabled'],
  [
    'conversion-tool-missing',
    { host: { toolVersion: undefined, toolTrouble: 'no such file' } as never },
    'gamma cannot convert: ',
  ],
  [
    'windows-drivers-missing',
    { vm: { guestOs: 'windows11_64Guest', guestFamily: 'windows' }, host: { virtioWin: false } },
    'web has a Windows, and gamma has no drivers for it',
  ],
  [
    'cache-full',
    { host: { cache: { path: '/c', capacityBytes: 100 * gibibyte, availableBytes: gibibyte } } },
    'has 960 MiB free; web needs 2560 MiB',
  ],
  [
    'cache-taken',
    { host: { promisedBytes: 98 * gibibyte } },
    'beside 100352 MiB for running imports; web needs 2560 MiB',
  ],
  [
    'cache-tight',
    { host: { promisedBytes: 95 * gibibyte } },
    'beside 97280 MiB for running imports; web may need 10752 MiB',
  ],
  [
    'room-shared',
    {
      host: {
        name: 'beta',
        cache: { path: '/c', capacityBytes: 100 * gibibyte, availableBytes: 4 * gibibyte },
      },
    },
    'look like one file system with 4032 MiB free; web needs 2560 MiB and 2048 MiB there',
  ],
  ['conversion-host-small', { host: { cpus: 4 } }, 'conversion host gamma has 4 CPUs; it should'],
  [
    'conversion-host-mixed',
    {
      host: {
        providers: [
          { name: 'files', kind: 'ova', address: '/srv' },
          { name: 'vc', kind: 'vsphere', address: 'vc' },
        ],
      },
    },
    'conversion host gamma has providers of 2 kinds: ova, vsphere',
  ],
  ['conversion-slow', { host: { kvm: false } }, 'gamma converts without KVM'],
  [
    'conversion-host-busy',
    { host: { running: 10 } },
    'gamma has 10 imports under way and takes 10 at a time',
  ],
];

const fixture =
  (side: string) =>
  ([code, given, says]: Row) => ({ side, code, given, says });

export const foreignFixtures = [
  ...vmRows.map(fixture('source')),
  ...requestRows.map(fixture('request')),
  ...targetRows.map(fixture('target')),
  ...conversionRows.map(fixture('conversion host')),
];
