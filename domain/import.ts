/**
 * An import: a foreign VM (`foreign.ts`) becomes a VM of a libvirt host, by way of a conversion host.
 *
 *   provider --copy--> cache of the conversion host --convert (overlay)--> --transfer--> volumes of the target
 */
import type { Concern } from './concerns.ts';
import type { DiskPlan } from './disk-plan.ts';
import type { ForeignKind, ForeignVm } from './foreign.ts';
import type { HostFacts } from './host.ts';
import type { RehearsalReport, RehearsalWish } from './import/rehearsal.ts';
import type { DiskProgress, VerifyPolicy } from './move.ts';
import type { PipelineReport, PipelineStep } from './pipeline.ts';
import type { DiskFormat } from './vm.ts';

/** The life of an import. The last five are ends; `parked` waits for a person. */
export const ImportPhase = {
  planned: 'planned',
  checking: 'checking',
  stopping: 'stopping',
  copying: 'copying',
  converting: 'converting',
  rehearsing: 'rehearsing',
  preparing: 'preparing',
  transferring: 'transferring',
  verifying: 'verifying',
  cuttingOver: 'cutting-over',
  starting: 'starting',
  awaitingCommit: 'awaiting-commit',
  committing: 'committing',
  rollingBack: 'rolling-back',
  parked: 'parked',
  committed: 'committed',
  /** Of an import that was asked for its rehearsal alone: seen, thrown away, and nothing came to a target. */
  rehearsed: 'rehearsed',
  rolledBack: 'rolled-back',
  cancelled: 'cancelled',
  failed: 'failed',
} as const;
export type ImportPhase = (typeof ImportPhase)[keyof typeof ImportPhase];

const ends: readonly ImportPhase[] = [
  ...(['committed', 'rehearsed', 'rolled-back', 'cancelled', 'failed'] as const),
];
export const isImportEnd = (phase: ImportPhase): boolean => ends.includes(phase);

/**
 * What happens with a source that runs. With the first three it is off from then on, and the import is a move:
 * `shutdown-or-force-off` cuts the power of a guest that did not follow in time. `pause`, `leave`: it goes on at its
 * place, and what comes is a clone: a new UUID, new MACs, never started by itself.
 */
export type RunningPolicy = 'shutdown' | 'shutdown-or-force-off' | 'force-off' | 'pause' | 'leave';

/** A network of the target: `bridge:NAME` or `network:NAME`. */
export type NetworkChoice = `bridge:${string}` | `network:${string}`;

/** As `convert/target-shape.ts` has them. */
export type ImportBus = 'virtio-scsi' | 'virtio-blk' | 'sata' | 'ide';

/** What is absent is as at the source. */
export interface ImportShape {
  name?: string;
  cpus?: number;
  memoryBytes?: number;
  /** Keys of the disks that come along; all if absent. */
  disks?: string[];
  /** What their volumes are called; the others after the VM. */
  volumes?: VolumeWish[];
  /** Of the guest, where the platform says another one or none. */
  system?: ForeignVm['guestFamily'];
  /** The cards that come along, in their order here; all of them if absent. */
  nics?: CardWish[];
  /** What cards of the guest are to have in place of their own. */
  addresses?: AddressWish[];
  newMacs?: boolean;
  tpm?: boolean;
  secureBoot?: boolean;
  /** Of a guest that is converted; `virtio-scsi` if absent. */
  bus?: ImportBus;
  /** KVM if absent and the target offers it; `qemu` is emulation, for where KVM is offered and does not work. */
  domainType?: 'kvm' | 'qemu';
}

export interface VolumeWish {
  /** `ForeignDisk.key`. */
  key: string;
  /** Without the ending, which tells the format. */
  name: string;
}

export interface CardWish {
  /** `ForeignNic.key`. */
  key: string;
  /** On the target; absent: as the source's, or a new one where all are new. */
  mac?: string;
}

/** What is absent stays as it is in the guest. */
export interface AddressWish {
  /** `ForeignNic.key`. */
  key: string;
  /** With prefixes: `198.51.100.20/24`, `2001:db8::20/64`. Those of a family that is not among them stay. */
  addresses: string[];
  /** Absent: those that it had, where they are beside the new addresses. */
  gateways?: string[];
  dns?: string[];
}

/** What a person asked for. Everything else is found out. */
export interface ImportRequest {
  /** Its name in the configuration of the conversion host. */
  provider: string;
  /** The platform's ID of the VM, as `inspectForeign` resolved it. */
  vm: string;
  conversionHost: string;
  /** Target host; may be the conversion host. */
  to: string;
  running: RunningPolicy;
  /** How long a shutdown may take before the import waits for a person, or forces it, ms. */
  shutdownTimeoutMs: number;
  /** Whether a source that the import stopped is started again where the import does not come to its end. */
  restartSource: boolean;
  /** `no`: the guest gets emulated devices. */
  convert: 'yes' | 'no';
  /** Which of several systems in the guest is converted: `first`, `/dev/sda2`. */
  root?: string;
  /** By the foreign network's name. */
  networks: Record<string, NetworkChoice>;
  /** For what `networks` does not name. */
  defaultNetwork?: NetworkChoice;
  storage: ImportStorage;
  shape: ImportShape;
  /** Start the VM on the target also if it was off. One that was running is always started, a clone never. */
  autoStart: boolean;
  autoCommit: boolean;
  verify: VerifyPolicy;
  /** Cap of each copy in bytes a second over all disks; 0 is none. */
  bandwidthBytesPerSecond: number;
  /** How long the cache keeps what was copied after a failure or a cancel, s. */
  cacheSeconds: number;
  /** What is kept so is compressed, and unpacked by the next import; no if absent. */
  compressCache?: boolean;
  /** Who asked, for the report. */
  operator: string;
  /** Keys of encrypted disks of the guest by reference: the values stand in the conversion host's configuration. */
  luksKeys?: LuksKeyReference[];
  /** The converted VM is started apart from everything and looked at, before anything of it comes to the target. */
  rehearse?: RehearsalWish;
}

export interface ImportStorage {
  /** Target pool of all disks that `byDisk` does not name. */
  pool: string;
  format: DiskFormat;
  /** Pools by `ForeignDisk.key`. */
  byDisk?: Record<string, string>;
}

export interface LuksKeyReference {
  /** The device in the guest: `/dev/sda2`, or `all`. */
  device: string;
  /** Name of the secret in the conversion host's configuration. */
  reference: string;
}

/** What nobody chose is as in the manual. */
export const importDefaults = {
  running: 'shutdown',
  shutdownTimeoutMs: 300_000,
  restartSource: true,
  convert: 'yes',
  networks: {},
  shape: {},
  autoStart: false,
  autoCommit: false,
  verify: 'full',
  bandwidthBytesPerSecond: 0,
  cacheSeconds: 86_400,
} as const satisfies Partial<ImportRequest>;

/** The steps of an import, in order; the whole pipeline is shown before it starts. */
export const importStepNames = [
  'check',
  'stop-source',
  'copy',
  'verify-source',
  'convert',
  'rehearse',
  'reserve-target',
  'transfer',
  'verify',
  'define',
  'cut-over',
  'start',
  'commit',
] as const;
export type ImportStepName = (typeof importStepNames)[number];

export type ImportStep = PipelineStep<ImportStepName>;

/** A VM's disk on its way. */
export interface ImportedDisk {
  key: string;
  /** The name on the target: `sda`; also of the transfer's progress. */
  name: string;
  capacityBytes: number;
  /** Bytes that crossed from the provider into the cache, over all attempts of this import; 0 if the cache had it. */
  bytesCopied: number;
  /** Of these, bytes that had to cross again. */
  bytesRecopied: number;
  /** Bytes that an earlier import or attempt had left in the cache and that were used. */
  bytesFromCache: number;
  /** The cache was read back and holds what was read of the source; absent if verification was off. */
  copyVerified?: boolean;
  /** Bytes that crossed from the conversion host to the target. */
  bytesTransferred: number;
  /** Roots of the hash trees of what was sent and what was stored, hex; absent if verification was off. */
  sourceHash?: string;
  targetHash?: string;
  verified: boolean;
  /** Why earlier progress could not be used, if so. */
  restarted?: string;
  /** By which way its bytes came and why, where its platform has several. */
  way?: string;
}

/** Facts of a conversion host: read fresh, never kept across a decision. */
export interface ConversionHostFacts {
  name: string;
  arch: string;
  cpus: number;
  memoryBytes: number;
  cache: { path: string; capacityBytes: number; availableBytes: number };
  /** Absent: no `virt-v2v-in-place` that could be used, and why stands in `toolTrouble`. */
  toolVersion?: string;
  toolTrouble?: string;
  /** Whether drivers for Windows are there. */
  virtioWin: boolean;
  /** Whether guests are converted under KVM; else it takes several times as long. */
  kvm: boolean;
  /** Providers that its configuration names. */
  providers: ProviderLine[];
  /** Copies and conversions that this worker has under way. */
  running: number;
  /** How many it takes at a time. */
  parallel: number;
  /** Bytes that running imports have still to write into the cache. */
  promisedBytes: number;
  /** How long its cache keeps what was copied, where an import does not say. */
  cacheSeconds?: number;
  /** Whether new imports may begin there; absent of older workers, which take them. */
  takesImports?: boolean;
  /** Caps that it holds to over all imports, bytes a second; 0 is none. */
  upBytesPerSecond?: number;
  downBytesPerSecond?: number;
}

export interface ProviderLine {
  name: string;
  kind: ForeignKind;
  /** Where it is, for people: an address, a folder. Never a password. */
  address: string;
}

/** What an import makes of a foreign VM on its target: the request's wishes and all facts, settled. */
export interface ImportPlan {
  name: string;
  /** The foreign VM's own for a move; a new one for a clone or where it has none. */
  uuid: string;
  /** The source may go on or be started beside it. */
  clone: boolean;
  domainType: 'kvm' | 'qemu';
  machine: 'q35' | 'pc';
  /** The boot disk first. `sourcePath`, `sourceFormat` are the cache's and empty until it has them. */
  disks: PlannedImportDisk[];
  nics: PlannedImportNic[];
  cpus: number;
  memoryBytes: number;
  converted: boolean;
  bus: ImportBus;
  secureBoot: boolean;
  tpm: boolean;
}

export interface PlannedImportDisk extends Pick<
  DiskPlan,
  | 'name'
  | 'capacityBytes'
  | 'targetPool'
  | 'targetVolume'
  | 'targetPath'
  | 'targetFormat'
  | 'targetKind'
> {
  key: string;
}

export interface PlannedImportNic {
  /** `ForeignNic.key`; empty for the NIC of a VM that had none. */
  key: string;
  /** The target's: the foreign one's, or a new one. Never empty, since a guest's static addresses hang on it. */
  mac: string;
  network: NetworkChoice;
  /** What the guest is given in place of its own. */
  set?: Omit<AddressWish, 'key'>;
}

/** What the rules of imports judge. */
export interface ImportQuestion {
  vm: ForeignVm;
  request: ImportRequest;
  conversionHost: ConversionHostFacts;
  target: HostFacts;
}

/** `observed`: the source was read back as off right before the target started. `none`: a clone. */
export type ImportOneRunning = 'observed' | 'none';

/** The state of an import; what queries, `vmferry status` and the end of the workflow give. */
export interface ImportReport extends PipelineReport<ImportPhase, ImportStepName> {
  kind: 'import';
  /** Name and, once planned, UUID of what comes to be on the target; before that the foreign name and an empty UUID. */
  vm: { name: string; uuid: string };
  foreign: { provider: string; id: string; name: string; kind?: ForeignKind };
  conversionHost: string;
  /** Known after the check. */
  clone?: boolean;
  disks: ImportedDisk[];
  oneRunning: ImportOneRunning;
  /** Whether the source was seen to run, as last read. */
  sourceRunning: boolean;
  /** Whether the VM runs on the target, as last read. */
  targetRunning: boolean;
  conversion?: ConversionReport;
  rehearsal?: RehearsalReport;
  /** Why it stands still without anybody having to act, in a sentence: its target has no place for it yet. */
  waitsFor?: string;
  /** Present if something of it is left in the cache: until when, ISO 8601, UTC. */
  cachedUntil?: string;
  /** From the source being off to the target being up, ms; absent for a clone or if it never ran. */
  downtimeMs?: number;
}

/** What the tool said. */
export interface ConversionReport {
  warnings: string[];
  /** What was done about its network and boot path, and what could not be, each a sentence. */
  notes: string[];
  /** False: it still needs emulated devices. Absent: the tool did not say. */
  virtio?: boolean;
  /** On the conversion host. */
  logPath: string;
  elapsedMs: number;
  /** An earlier attempt or import had converted already. */
  already: boolean;
}

/** Of a conversion under way; in the copy's step of the unpacking of what the cache kept compressed. */
export interface ConversionStage {
  /** The tool's own words, where it has any. */
  stage: string;
  percent?: number;
  elapsedMs: number;
}

/** `report` of a running import plus what only heartbeats know. */
export interface ImportStatus {
  report: ImportReport;
  progress: DiskProgress[];
  conversion?: ConversionStage;
}

/** What an import would do, found out without touching anything. */
export interface ImportForecast {
  vm: ForeignVm;
  plan?: ImportPlan;
  concerns: Concern[];
  conversionHost: ConversionHostFacts;
}
