/**
 * What a host worker can do, as types: the workflows see this file and nothing else of the room.
 * Every verb looks at the world first, does what is missing, and may run twice or be resumed by another worker.
 */
import type { Concern } from '../domain/concerns.ts';
import type { DiskPlan } from '../domain/disk-plan.ts';
import type { Fault } from '../domain/errors.ts';
import type { HostFacts, MachineFacts } from '../domain/host.ts';
import type { LiveStep, LiveWishes } from '../domain/live.ts';
import type { LiveHostView } from '../domain/live-outcome.ts';
import type { MoveRequest } from '../domain/move.ts';
import type { OwnerState } from '../domain/ownership.ts';
import type { NetworkPlace, VmFacts, VmGlance, VmSummary } from '../domain/vm.ts';

export type { DiskPlan };

/** Names a move on a host: everything that is made for it carries `migrationId`. */
export interface MoveRef {
  /** The workflow's ID, for messages. */
  moveId: string;
  /** The first run's ID: unique over all moves. */
  migrationId: string;
  vm: { name: string; uuid: string };
}

/** Where the target reads something of the source: an NBD export under mutual TLS. */
export interface ExportEndpoint {
  address: string;
  port: number;
  exportName: string;
  /** Name in the source's certificate. */
  serverName: string;
}

/** A random word that the source wrote beside a disk: a target that reads it there sees the same storage. */
export interface StorageNonce {
  disk: string;
  /** Where: a file's path, or of network storage as `VmDisk.path`. */
  path: string;
  network?: NetworkPlace;
  value: string;
}

/** Something small that crosses on the data plane, not through history: it may hold secrets. */
export interface Parcel {
  endpoint: ExportEndpoint;
  /** SHA-256, hex, of its bytes. */
  hash: string;
  sizeBytes: number;
}

/** What a host's ledger says of a VM: its state and epoch. */
export interface LedgerView {
  state: OwnerState;
  epoch: number;
}

export interface SourceCheck {
  vm: VmFacts;
  concerns: Concern[];
  ledger?: LedgerView;
  guardLive: boolean;
  hostUuid: string;
  /** Absent from older workers. */
  machine?: MachineFacts;
  /** SHA-256, hex, of the definition that the export holds; empty where none is offered. */
  definitionHash: string;
  /** The definition crosses on the data plane, not through history: it may hold secrets. Not of a move that can only go live. */
  definition: ExportEndpoint;
  /** Removed by `guardSource` or `closeExports`. */
  nonces: StorageNonce[];
  /** Where this host is reached by other hosts. */
  migrationAddress: string;
}

export interface CheckSourceInput extends MoveRef {
  request: MoveRequest;
  /** Of a live move: where the target's libvirtd is to be found, if it is known beforehand. */
  targetAddress?: string;
}

export interface CheckTargetInput extends MoveRef {
  request: MoveRequest;
  source: SourceCheck;
}

export interface TargetCheck {
  concerns: Concern[];
  ledger?: LedgerView;
  guardLive: boolean;
  disks: DiskPlan[];
  /** Where this host is reached by other hosts; absent from older workers. */
  migrationAddress?: string;
}

/** An order that is valid under one epoch only: an older one is refused by the host's ledger. */
export interface EpochRef extends MoveRef {
  epoch: number;
}

export interface ClearTargetInput extends EpochRef {
  /** Paths here that are none of the VM's disks after all: their content was compared. */
  strangers?: string[];
  /** The volumes stay for a person to look at: `vmferry orphans` lists them. */
  keepVolumes?: true;
}

export interface ReserveTargetInput extends EpochRef {
  source: string;
  disks: DiskPlan[];
}

export interface ReserveLiveInput extends ReserveTargetInput {
  /** As in `AdmitLiveInput`. */
  mayHold?: true;
}

export interface ReserveLiveResult {
  disks: DiskPlan[];
  /** For the first run. */
  leave: LiveAdmission;
}

export interface GuardSourceInput extends EpochRef {
  target: string;
  disks: DiskPlan[];
}

export interface StopSourceInput extends EpochRef {
  shutdown: MoveRequest['shutdown'];
  shutdownTimeoutMs: number;
}

export interface StopResult {
  /** Whether the guest ran when the move began; remembered on the host over all attempts. */
  wasRunning: boolean;
  /** How long ago the guest was seen to go down, ms; a duration, since clocks of hosts differ. */
  downForMs: number;
  /** Whether the guest did not follow the shutdown request and was powered off. */
  forced: boolean;
}

export interface OpenExportInput extends EpochRef {
  target: string;
  disk: DiskPlan;
}

export interface OpenExport {
  endpoint: ExportEndpoint;
  /** Identifies the state of the source that the export shows. */
  fingerprint: string;
}

export interface CopyDiskInput extends EpochRef {
  disk: DiskPlan;
  source: OpenExport;
  bandwidthBytesPerSecond: number;
  /** Whether both sides are compared at the end: only then may old progress of a device be trusted, which has no times of its content. */
  verified: boolean;
}

export interface CopyDiskResult {
  /** Over all attempts. */
  bytesCopied: number;
  bytesRecopied: number;
  restarted?: string;
}

export interface HashDiskInput extends EpochRef {
  disk: DiskPlan;
  side: 'source' | 'target';
}

export interface HashDiskResult {
  /** Root of the hash tree over the guest-visible bytes, hex. */
  root: string;
}

export interface OfferStateInput extends EpochRef {
  target: string;
  disks: DiskPlan[];
}

export interface EnsureStateInput extends EpochRef {
  parcel: Parcel;
}

export interface DefineTargetInput extends EpochRef {
  source: string;
  disks: DiskPlan[];
}

export interface DefineResult {
  /** What the target's libvirt has against the definition (it drops what it does not know); empty if nothing. */
  complaint: string;
}

export interface ReleaseSourceInput extends EpochRef {
  target: string;
  disks: DiskPlan[];
  /** Name of each copied disk -> its fingerprint when it was exported. */
  fingerprints: Record<string, string>;
  /** The VM left while it ran: where there is no definition of it any more it counts as stopped. */
  live?: true;
}

export interface AdmitLiveInput extends EpochRef {
  source: string;
  /** Of this move, from 1; a later one is admitted only while nothing of the VM is here. */
  run: number;
  /** The guest may be held here, paused, until `settleArrival` lets it go; absent from older moves. */
  mayHold?: true;
}

/** Leave for one migration; asked again for the same run it is the same. */
export interface LiveAdmission {
  /** One-time word that the guard of the target asks for; worthless once it was used or withdrawn. */
  token: string;
  /** As `mayHold` asked; absent from older workers, whose guests go on as they arrive. */
  holds?: true;
}

export interface MoveLiveInput extends EpochRef {
  target: string;
  run: number;
  token: string;
  /** Where the target's libvirtd and QEMU are found: a name or address in its certificates. */
  targetAddress: string;
  disks: DiskPlan[];
  wishes: LiveWishes;
  /** Cap of memory and disks together, bytes a second; 0 is none. */
  bandwidthBytesPerSecond: number;
  /** The target holds what arrives, as its admission says. */
  hold?: true;
}

/** How a run ended as the source saw it; both hosts' `liveView` say what came of it. */
export interface MoveLiveResult {
  /** Why libvirt called it off, if it did. */
  fault?: Fault;
  /** What was done so that it ends, and why. */
  steps: LiveStep[];
  elapsedMs: number;
  /** The guest's pause, by one clock where both its ends were seen, else by libvirt's figure; post-copy has none. */
  downtimeMs?: number;
  iterations?: number;
  memoryBytes?: number;
  diskBytes?: number;
  postCopy: boolean;
  /** The guest arrived paused, and the source let go; absent where it did not arrive, or runs since it did. */
  held?: HeldGuest;
}

/** A guest that arrived paused, as the source knows of it. */
export interface HeldGuest {
  /** Somebody had paused it before: it stays so. */
  keepPaused?: true;
  /** From the end of libvirt's run until the guest was let go by the source, ms; absent where that did not work. */
  forMs?: number;
  /** Why it did not. */
  trouble?: string;
}

/** What a run that goes on is to be changed to; what is absent stays. */
export interface TuneLiveInput extends MoveRef {
  bandwidthBytesPerSecond?: number;
  maxDowntimeMs?: number;
}

/** The cap of a copy that runs, bytes a second; 0 is none. */
export interface TuneCopyInput extends MoveRef {
  bandwidthBytesPerSecond: number;
}

/** `off`: it runs at the target, and what is left here is ended. `resume`: it is gone from the target, and goes on here. */
export interface SettleLiveInput extends EpochRef {
  to: 'off' | 'resume';
}

/** Beside a run whose guest is held: `sourceAddress` is where the source's libvirtd is found. */
export interface AwaitArrivalInput extends EpochRef {
  sourceAddress: string;
}

/**
 * `go-on`: the source let go. `stay-paused`: so it did, and the guest was paused before. `off`: the guest goes on at
 * the source, and what is held here is ended.
 */
export interface SettleArrivalInput extends EpochRef {
  to: 'go-on' | 'stay-paused' | 'off';
}

export interface StartResult {
  /** How long ago the guest was seen to run, ms. */
  upForMs: number;
}

export interface RestoreSourceInput extends EpochRef {
  /** Start the VM again if the move had stopped it. */
  restart: boolean;
}

export interface RestoreResult {
  running: boolean;
}

export interface RevokeTargetInput extends EpochRef {
  source: string;
  /** The guest's writes on the target may be thrown away. */
  discardWrites: boolean;
}

export interface RemoveSourceInput extends EpochRef {
  target: string;
  disks: DiskPlan[];
}

export interface RemoveSourceResult {
  /** Disks that lie in no pool of libvirt and were left where they are. */
  left: string[];
}

/** The verbs of a host worker, as the workflows call them on the queue of one host. */
export interface HostActivities {
  listVms(): Promise<VmSummary[]>;
  inspectVm(input: { vm: string }): Promise<VmFacts>;
  /** By name or UUID. */
  findVm(input: { vm: string }): Promise<VmGlance>;
  hostFacts(): Promise<HostFacts>;

  /** Source: facts, concerns, proof of the guard; offers the definition to the target's certificate only. */
  checkSource(input: CheckSourceInput & { target: string }): Promise<SourceCheck>;
  /** Target: reads the definition over the data plane (which proves link, certificates and permission) and judges. */
  checkTarget(input: CheckTargetInput): Promise<TargetCheck>;

  /** Target: ledger `incoming`, volumes made and recorded. */
  /** Gives the disks with the places that their volumes got. */
  reserveTarget(input: ReserveTargetInput): Promise<DiskPlan[]>;
  /** Source: ledger `migrating-out`, autostart remembered and off. */
  guardSource(input: GuardSourceInput): Promise<void>;
  /** Source: down by the policy, and read back as down. */
  ensureStopped(input: StopSourceInput): Promise<StopResult>;
  ensureExport(input: OpenExportInput): Promise<OpenExport>;
  /** Source, once stopped: what libvirt keeps beside definition and disks, offered like a disk. */
  offerState(input: OfferStateInput): Promise<Parcel>;
  /** Target, once defined: the parcel taken over and put where libvirt looks for it. */
  ensureState(input: EnsureStateInput): Promise<void>;
  /** Source. `over`: the move ends here, so a late attempt of it may not begin it anew. */
  closeExports(input: MoveRef & { over?: true }): Promise<void>;
  ensureCopied(input: CopyDiskInput): Promise<CopyDiskResult>;
  hashDisk(input: HashDiskInput): Promise<HashDiskResult>;
  /** Target: defined with the definition mended; not startable before the cutover. */
  ensureDefined(input: DefineTargetInput): Promise<DefineResult>;
  /** Source: still stopped, then ledger `released`. After this the source cannot start. */
  releaseSource(input: ReleaseSourceInput): Promise<void>;
  /** Target: ledger `owner` under the new epoch. */
  takeOwnership(input: EpochRef & { source: string; disks: DiskPlan[] }): Promise<void>;
  ensureStarted(input: EpochRef): Promise<StartResult>;
  /** Runs and stays so for a while. */
  ensureHealthy(input: EpochRef & { forMs: number }): Promise<void>;
  /** Target: autostart as it was at the source, journals and the move's folder gone. */
  settleTarget(input: EpochRef & { autostart: boolean }): Promise<void>;
  /** Source, on commit: undefined, its volumes deleted; the ledger keeps saying `released`. */
  removeSource(input: RemoveSourceInput): Promise<RemoveSourceResult>;

  /** Target: `reserveTarget`, and leave for the first run, in one way there. */
  reserveLive(input: ReserveLiveInput): Promise<ReserveLiveResult>;
  /** Target: leave for one live migration; nothing of the VM may be here. */
  admitLive(input: AdmitLiveInput): Promise<LiveAdmission>;
  /**
   * Source: begins libvirt's migration or attaches to the one that runs, steers it by the convergence policy, and ends
   * with it. A cancel has libvirt undo it. Never begins twice for one run.
   */
  moveLive(input: MoveLiveInput): Promise<MoveLiveResult>;
  /** Either side, under no lock: where the VM stands now. */
  liveView(input: MoveRef): Promise<LiveHostView>;
  /** Source: changes the limits of a run; false if there is none. */
  tuneLive(input: TuneLiveInput): Promise<boolean>;
  /** Target: changes the cap of the move's copies; false if there is none. */
  tuneCopy(input: TuneCopyInput): Promise<boolean>;
  /** Source: no migration away from here any more; one in post-copy comes to its end. */
  endLive(input: EpochRef): Promise<void>;
  /** Target: no migration of this move is let in any more; gives where the VM stands after that. */
  withdrawLive(input: EpochRef): Promise<LiveHostView>;
  /** Source: makes an end of a VM that a broken migration left paused; both hosts were read before. */
  settleLive(input: SettleLiveInput): Promise<void>;
  /** Target: waits for a held guest and lets it go once the source's libvirt says that it let go; else for ever. */
  awaitArrival(input: AwaitArrivalInput): Promise<LiveHostView>;
  /** Target: lets a held guest go, or ends it; the source was read before. Gives where the VM stands after that. */
  settleArrival(input: SettleArrivalInput): Promise<LiveHostView>;

  /** Target, undo after the cutover began: epoch advanced, the guest off, read back. */
  revokeTarget(input: RevokeTargetInput): Promise<void>;
  /** Target, undo: definition, volumes and journals that this move made are gone. */
  clearTarget(input: ClearTargetInput): Promise<void>;
  /** Source, undo: ledger `owner`, autostart as it was, started again if it ran. */
  restoreSource(input: RestoreSourceInput): Promise<RestoreResult>;
}
