import type { HostFacts } from '../domain/host.ts';
import type { DiskSink, DiskSource } from '../domain/platform.ts';
import type { DiskFormat, VmFacts, VmState, VmSummary } from '../domain/vm.ts';
import type { Ledger } from '../guard/ledger.ts';
import type { ExportEndpoint } from './contract.ts';
import type { Operations } from './operations.ts';

/** What the verbs ask of a host's hypervisor; `platforms/libvirt` gives it, tests may fake it. */
export interface Hypervisor {
  list(): Promise<VmSummary[]>;
  /** By name or UUID. Throws `vm-not-found`. */
  inspect(vm: string): Promise<VmFacts>;
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
  volumeExists(pool: string, volume: string): Promise<boolean>;
  /** Makes the volume if it is not there. Gives its path. */
  ensureVolume(volume: {
    pool: string;
    name: string;
    capacityBytes: number;
    format: DiskFormat;
    /** Whether one that is there already is this move's own; any other is refused with `volume-exists`. */
    ownedByMove: boolean;
  }): Promise<string>;
  /** Whether nothing is there any more; false if no pool of the hypervisor has the file, which then stays. */
  deleteVolume(path: string, format: DiskFormat): Promise<boolean>;
  /** The definition with paths, formats and metadata changed for this host. */
  mend(xml: string, changes: DefinitionChanges): string;
  /** Gives what the hypervisor's schema has against the definition; empty if nothing. */
  ensureDefined(xml: string, uuid: string): Promise<string>;
  /** No error if it is gone. Disks stay. */
  undefine(uuid: string): Promise<void>;
  /** No error if it runs. Throws `start-refused-by-guard`. */
  start(uuid: string): Promise<void>;
  /** Throws if the VM stops running within `forMs`. */
  watchHealth(uuid: string, options: { forMs: number; signal: AbortSignal }): Promise<void>;
  /** Asks libvirt to start a probe domain that the guard must refuse. */
  probeGuard(): Promise<{ live: boolean; detail: string }>;
}

export interface DefinitionChanges {
  disks: { name: string; path: string; format: DiskFormat }[];
  owner: { host: string; epoch: number; moveId: string };
}

/** Reading and writing disks on this host, and showing them to one other host. */
export interface DataPlane {
  /** Opens a read-only export for the host of that name alone; finds its own again. */
  ensureExport(options: {
    migrationId: string;
    name: string;
    path: string;
    format: DiskFormat;
    target: string;
  }): Promise<ExportEndpoint>;
  closeExports(migrationId: string): Promise<void>;
  /** Connects with this host's certificate. */
  openRemote(
    endpoint: ExportEndpoint,
    options: { signal: AbortSignal; host: string },
  ): Promise<DiskSource>;
  /** Reads a disk at rest of this host past the page cache. */
  openLocal(options: {
    path: string;
    format: DiskFormat;
    signal: AbortSignal;
  }): Promise<DiskSource>;
  openSink(options: {
    path: string;
    format: DiskFormat;
    sizeBytes: number;
    signal: AbortSignal;
  }): Promise<DiskSink>;
}

/** Everything that the verbs of one host share. */
export interface HostParts {
  name: string;
  version: string;
  migrationAddress: string;
  stateDir: string;
  /** Cap of all copies of this host together, bytes a second; 0 is none. */
  bandwidthBytesPerSecond: number;
  hypervisor: Hypervisor;
  dataPlane: DataPlane;
  ledger: Ledger;
  operations: Operations;
}
