import type {
  CpuComparison,
  HostFacts,
  LiveProbe,
  MachineFacts,
  MachineOffer,
} from '../domain/host.ts';
import type { DiskSink, DiskSource } from '../domain/platform.ts';
import type {
  DiskFormat,
  NetworkPlace,
  PlaceKind,
  SecretRef,
  VmDisk,
  VmFacts,
  VmGlance,
  VmState,
  VmSummary,
} from '../domain/vm.ts';
import type { Ledger } from '../guard/ledger.ts';
import type { LiveMigration } from '../platforms/libvirt/live/live-migration.ts';
import type { ExportEndpoint, StorageNonce } from './contract.ts';
import type { Operations } from './operations.ts';
import type { KnownLeaves } from '../transfer/hash-tree.ts';
import type { Range } from '../transfer/range-set.ts';

/** What the verbs ask of a host's hypervisor; `platforms/libvirt` gives it, tests may fake it. */
export interface Hypervisor {
  list(): Promise<VmSummary[]>;
  /** By name or UUID. Throws `vm-not-found`. */
  inspect(vm: string): Promise<VmFacts>;
  /** The same VM as `inspect` finds, by libvirt's memory alone. Throws `vm-not-found`. */
  glance(vm: string): Promise<VmGlance>;
  /** `undefined` if no such VM is defined or running. */
  state(uuid: string): Promise<VmState | undefined>;
  /** The persistent definition, secrets included. */
  definition(uuid: string): Promise<string>;
  requestShutdown(uuid: string): Promise<void>;
  /** Resolves true once off, false after `timeoutMs`. */
  waitUntilOff(uuid: string, options: { timeoutMs: number; signal: AbortSignal }): Promise<boolean>;
  /** Powered off at once; no error if it is off. */
  forceOff(uuid: string): Promise<void>;
  /** Why the VM cannot be taken as stopped; empty if it is. */
  reasonsNotStopped(uuid: string): Promise<string[]>;
  setAutostart(uuid: string, autostart: boolean): Promise<void>;
  facts(): Promise<Omit<HostFacts, 'guard' | 'migrationAddress' | 'version' | 'name'>>;
  /** What this host's libvirt offers for such a machine; undefined if it has none. */
  machineOffer(
    vm: Pick<VmFacts, 'domainType' | 'arch' | 'machine'>,
  ): Promise<MachineOffer | undefined>;
  /** What of this host a running guest would feel, and what a migration hangs on. */
  machine(): Promise<Omit<MachineFacts, 'clockAheadMs'>>;
  /** What libvirt here says of running a guest's CPU: `RunningFacts.cpu`. */
  compareCpu(
    cpu: string,
    vm: Pick<VmFacts, 'domainType' | 'arch' | 'machine'>,
  ): Promise<CpuComparison>;
  /** Goes to another host's libvirtd as this one's own would for a migration. Takes 15 s at most, never throws. */
  probeTarget(address: string): Promise<LiveProbe>;
  volumeExists(pool: string, volume: string): Promise<boolean>;
  /** Makes the volume if it is not there. Gives its place. */
  ensureVolume(volume: {
    pool: string;
    name: string;
    capacityBytes: number;
    format: DiskFormat;
    /** `full`: all its room is taken at once. */
    allocation: 'thin' | 'full';
    /** The image of this host that it lies on, in a chain that is kept. */
    backing?: { path: string; format: DiskFormat };
    /** Whether one that is there already is this move's own; any other is refused with `volume-exists`. */
    ownedByMove: boolean;
  }): Promise<MadeVolume>;
  /** Whether nothing is there any more; false if no pool of the hypervisor has the file, which then stays. */
  deleteVolume(volume: NamedVolume): Promise<boolean>;
  /**
   * Writes a random word of the move beside each disk whose storage takes one (a folder, an RBD pool);
   * disks of one folder share one. Finds its own again. Storage that takes none gives none.
   */
  writeNonces(migrationId: string, disks: readonly VmDisk[]): Promise<StorageNonce[]>;
  /**
   * Where this host sees a nonce of another: the disk's place here, or undefined if it does not see it. Looks at the
   * same path and into the folder of `pool`.
   */
  findNonce(nonce: StorageNonce, disk: VmDisk, pool: string): Promise<VolumePlace | undefined>;
  /** Removes the nonces that this host wrote for the move; safe to run twice. */
  removeNonces(migrationId: string, disks: readonly VmDisk[]): Promise<void>;
  /** Of these secrets the ones that this host's libvirt does not have. */
  missingSecrets(secrets: readonly SecretRef[]): Promise<SecretRef[]>;
  /**
   * What libvirt keeps of a stopped VM beside definition and disks, as one parcel: UEFI variables, TPM state, values of
   * readable secrets; with `snapshots` also their metadata (only where the disks themselves stay). Throws
   * `state-too-large`.
   */
  packState(uuid: string, options: { snapshots: boolean }): Promise<Buffer>;
  /** Puts a parcel where libvirt looks for it; the VM is defined. Safe to run twice. */
  unpackState(uuid: string, parcel: Buffer): Promise<void>;
  /** The definition with paths, formats and metadata changed for this host. */
  mend(xml: string, changes: DefinitionChanges): string;
  /** Gives what the hypervisor's schema has against the definition; empty if nothing. */
  ensureDefined(xml: string, uuid: string): Promise<string>;
  /** No error if it is gone. Disks stay; with `state: 'remove'` UEFI variables and TPM state go with it. */
  undefine(uuid: string, options?: { state: 'keep' | 'remove' }): Promise<void>;
  /** No error if it runs. Throws `start-refused-by-guard`. */
  start(uuid: string): Promise<void>;
  /** Throws if the VM stops running within `forMs`. */
  watchHealth(uuid: string, options: { forMs: number; signal: AbortSignal }): Promise<void>;
  /** Asks libvirt to start a probe domain that the guard must refuse. */
  probeGuard(): Promise<{ live: boolean; detail: string }>;
  /** Moves of running VMs away from here, and what is seen of them. */
  live: LiveHypervisor;
}

/** What the live verbs ask of a host's hypervisor. */
export type LiveHypervisor = Pick<
  LiveMigration,
  | 'begin'
  | 'viewOf'
  | 'watch'
  | 'completedOf'
  | 'abort'
  | 'setBandwidth'
  | 'setMaxDowntimeMs'
  | 'startPostCopy'
  | 'pauseGuest'
  | 'resumeGuest'
  | 'letGo'
  | 'untilQemuIsGone'
  | 'viewAt'
  | 'definition'
>;

export interface DefinitionChanges {
  /** Those that get a new place; shared ones are not listed unless their path differs. */
  disks: {
    name: string;
    kind: PlaceKind;
    path: string;
    network?: NetworkPlace;
    format: DiskFormat;
    /** A shared disk keeps what the definition says of its backing chain. */
    keepBacking?: true;
  }[];
  owner: { host: string; epoch: number; moveId: string };
  /** Of a guest that runs: what it sees stays, and the token lets it in at the other host. */
  arriving?: { token: string };
}

/** A volume to be deleted: by its path, or where that is empty by its name in a pool. */
export interface NamedVolume extends VolumePlace {
  format: DiskFormat;
  pool?: string;
  volume?: string;
}

/** Where a volume came to lie. */
export interface VolumePlace {
  kind: PlaceKind;
  /** As `VmDisk.path`. */
  path: string;
  network?: NetworkPlace;
}

/** A volume of a move. */
export interface MadeVolume extends VolumePlace {
  /** Present where the storage made it larger than asked for: what the guest will see. */
  capacityBytes?: number;
}

/** A disk at rest on this host, as QEMU opens it. */
export interface LocalDisk {
  path: string;
  format: DiskFormat;
  network?: NetworkPlace;
}

/** Reading and writing disks on this host, and showing them to one other host. */
export interface DataPlane {
  /** Opens a read-only export for the host of that name alone; finds its own again. */
  ensureExport(options: {
    migrationId: string;
    name: string;
    path: string;
    format: DiskFormat;
    network?: NetworkPlace;
    target: string;
    /** Where it listens: the host's migration address if absent. */
    address?: string;
    /** Of a chain that is kept: the reader has to learn what the image itself holds. */
    ownOnly?: boolean;
  }): Promise<ExportEndpoint>;
  closeExports(migrationId: string): Promise<void>;
  /** Connects with this host's certificate. */
  openRemote(
    endpoint: ExportEndpoint,
    /**
     * `ownOnly`: all that the exported image does not hold itself comes as `unchanged`. `isSmall`: one connection
     * will do.
     */
    options: { signal: AbortSignal; host: string; ownOnly?: boolean; isSmall?: boolean },
  ): Promise<DiskSource>;
  /** Reads a disk at rest of this host past the page cache; `cached`: through it, since it is being copied from as well. */
  openLocal(options: LocalDisk & { signal: AbortSignal; cached?: boolean }): Promise<DiskSource>;
  /** Hashes a disk while it is copied to; undefined where that cannot be, and verification does all of it afterwards. */
  followCopy(disk: LocalDisk & { sizeBytes: number }): Promise<CopyFollower | undefined>;
  /** `liesOnOther`: what reads as zeroes may be of the image below, which is whole already. */
  openSink(
    options: LocalDisk & { sizeBytes: number; signal: AbortSignal; liesOnOther?: boolean },
  ): Promise<DiskSink>;
}

/** What a disk's verification has done before the copy is over. */
export interface CopyFollower extends KnownLeaves {
  /** These bytes are on stable storage now. */
  durable(ranges: readonly Range[]): void;
  /** What was hashed stays. */
  close(): Promise<void>;
}

/** Everything that the verbs of one host share. */
export interface HostParts {
  name: string;
  version: string;
  migrationAddress: string;
  stateDir: string;
  /** Cap of all copies of this host together, bytes a second; 0 is none. */
  bandwidthBytesPerSecond: number;
  /** How many disks are copied to this host at a time; the others wait in line. No limit if absent. */
  parallelCopies?: number;
  hypervisor: Hypervisor;
  dataPlane: DataPlane;
  ledger: Ledger;
  operations: Operations;
}
