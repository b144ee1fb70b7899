import type {
  ForeignDisk,
  ForeignNic,
  ForeignVm,
  GuestInterface,
} from '../../../domain/foreign.ts';
import { importDefaults } from '../../../domain/import.ts';
import type { ConversionHostFacts, ImportQuestion, ImportRequest } from '../../../domain/import.ts';
import { beta, gibibyte } from './facts.ts';

export const foreignDisk = (changes: Partial<ForeignDisk> = {}): ForeignDisk => ({
  key: 'disk1',
  path: 'web-disk1.vmdk',
  capacityBytes: 10 * gibibyte,
  allocationBytes: 2 * gibibyte,
  bus: 'scsi',
  unit: { controller: 0, unit: 0 },
  independent: false,
  shared: false,
  raw: false,
  encrypted: false,
  ...changes,
});

export const foreignNic = (changes: Partial<ForeignNic> = {}): ForeignNic => ({
  key: 'nic1',
  mac: '00:50:56:00:00:01',
  network: 'VM Network',
  model: 'vmxnet3',
  connected: true,
  ...changes,
});

export const told = (changes: Partial<GuestInterface> = {}): GuestInterface => ({
  mac: '00:50:56:00:00:01',
  name: 'ens192',
  addresses: [{ address: '198.51.100.7', prefix: 24, origin: 'static' }],
  gateways: ['198.51.100.1'],
  dns: [],
  searchDomains: [],
  ...changes,
});

/** A VM that comes without a word: off, a disk, a card, a Debian that told its addresses. */
export const foreignVm = (changes: Partial<ForeignVm> = {}): ForeignVm => ({
  kind: 'ova',
  id: 'web',
  name: 'web',
  state: 'shut-off',
  memoryBytes: 2 * gibibyte,
  cpus: 2,
  path: '',
  uuid: '6f1a2b3c-0000-4000-8000-000000000002',
  arch: 'x86_64',
  coresPerSocket: 1,
  firmware: 'bios',
  secureBoot: false,
  tpm: false,
  guestOs: 'debian11_64Guest',
  guestFamily: 'linux',
  disks: [foreignDisk()],
  nics: [foreignNic()],
  cdroms: [],
  snapshots: [],
  guestNetwork: [told()],
  fixedDevices: [],
  ...changes,
});

export const importRequest = (changes: Partial<ImportRequest> = {}): ImportRequest => ({
  ...importDefaults,
  provider: 'files',
  vm: 'web',
  conversionHost: 'gamma',
  to: 'beta',
  networks: { 'VM Network': 'bridge:br0' },
  storage: { pool: 'default', format: 'qcow2' },
  operator: 'ann',
  ...changes,
});

/** A host that converts anything. */
export const conversionHost = (
  changes: Partial<ConversionHostFacts> = {},
): ConversionHostFacts => ({
  name: 'gamma',
  arch: 'x86_64',
  cpus: 8,
  memoryBytes: 16 * gibibyte,
  cache: {
    path: '/var/cache/vmferry',
    capacityBytes: 200 * gibibyte,
    availableBytes: 100 * gibibyte,
  },
  toolVersion: '2.2.0',
  virtioWin: true,
  kvm: true,
  providers: [{ name: 'files', kind: 'ova', address: '/srv/ova' }],
  running: 0,
  parallel: 10,
  promisedBytes: 0,
  ...changes,
});

export const importQuestion = (changes: Partial<ImportQuestion> = {}): ImportQuestion => ({
  vm: foreignVm(),
  request: importRequest(),
  conversionHost: conversionHost(),
  target: beta(),
  ...changes,
});
