import type { Concern } from './concerns.ts';
import type { LiveReport, LiveWishes } from './live.ts';
import type { PipelineReport, PipelineStep } from './pipeline.ts';
import type { PlacementNote } from './placement/note.ts';
import type { DiskFormat } from './vm.ts';

/** The life of a move. The last five are ends; `parked` waits for a person. */
export const Phase = {
  planned: 'planned',
  checking: 'checking',
  preparing: 'preparing',
  stopping: 'stopping',
  moving: 'moving',
  copying: 'copying',
  verifying: 'verifying',
  cuttingOver: 'cutting-over',
  starting: 'starting',
  awaitingCommit: 'awaiting-commit',
  committing: 'committing',
  rollingBack: 'rolling-back',
  parked: 'parked',
  committed: 'committed',
  rolledBack: 'rolled-back',
  cancelled: 'cancelled',
  failed: 'failed',
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

export const isEnd = (phase: Phase): boolean =>
  phase === 'committed' || phase === 'rolled-back' || phase === 'cancelled' || phase === 'failed';

export type ShutdownPolicy = 'graceful' | 'force' | 'refuse';
export type VerifyPolicy = 'full' | 'off';

/** What a person asked for. Everything else is found out. */
export interface MoveRequest {
  /** Name or UUID of the VM on the source host. */
  vm: string;
  from: string;
  to: string;
  /** Start the VM on the target also if it was off; a VM that was running is always started. */
  autoStart: boolean;
  verify: VerifyPolicy;
  /** Cap of the copy in bytes a second over all disks of the move; 0 is none. */
  bandwidthBytesPerSecond: number;
  shutdown: ShutdownPolicy;
  /** How long a graceful shutdown may take before it is forced, ms. */
  shutdownTimeoutMs: number;
  autoCommit: boolean;
  /** Target pool; empty: the pool of the same name as the source's. */
  targetPool: string;
  /** Who asked, for the report. */
  operator: string;
  /** `auto` (default): disks on proved shared storage stay where they are, all others are copied. */
  storage?: StoragePolicy;
  /** Disks that a person says are the same on both hosts, where no nonce can prove it (block devices, iSCSI): proved by content. */
  sharedDisks?: string[];
  /** Format of all copied disks on the target; empty or absent: as at the source. */
  targetFormat?: DiskFormat | '';
  /** Exceptions by disk name. */
  disks?: Record<string, { pool?: string; format?: DiskFormat }>;
  /** Whether copied disks get all their room at once. `thin` (default) or `full`. */
  allocation?: 'thin' | 'full';
  /** What becomes of a copied disk that lies on backing images: one image (default), or the same chain. */
  chain?: ChainPolicy;
  /** Present: a running VM moves without being shut down. Absent: a cold move. */
  live?: LiveWishes;
  /** Rules of the checks that a person takes upon themselves; each that would have spoken is recorded. */
  skip?: SkippedCheck[];
}

/** What nobody chose is as in the manual. Without `to` the fleet's rules choose the host. */
export const moveDefaults = {
  to: '',
  autoStart: false,
  verify: 'full',
  bandwidthBytesPerSecond: 0,
  shutdown: 'graceful',
  shutdownTimeoutMs: 120_000,
  autoCommit: false,
  targetPool: '',
} as const satisfies Partial<MoveRequest>;

/** `cpu`: model, features, vendor. `kernel`: versions of kernel and microcode. */
export type SkippedCheck = 'cpu' | 'kernel';

/** `flatten`: one image with all of it. `keep`: as many images, each with what it held. */
export type ChainPolicy = 'flatten' | 'keep';

/**
 * `auto`: by proof, disk by disk. `copy`: every disk is copied, though it be shared (then it needs another pool).
 * `shared`: refused if any disk would have to be copied.
 */
export type StoragePolicy = 'auto' | 'copy' | 'shared';

/** The steps of a move, in order; the whole pipeline is shown before it starts, without what a mode has no use for. */
export const stepNames = [
  'check',
  'reserve-target',
  'guard-source',
  'live',
  'stop-source',
  'export',
  'copy',
  'verify',
  'define',
  'cut-over',
  'start',
  'commit',
] as const;
export type StepName = (typeof stepNames)[number];

/** What only a move of a VM that is off has a use for. */
const coldSteps: readonly StepName[] = [
  'stop-source',
  'export',
  'copy',
  'verify',
  'define',
  'start',
];

/** The pipeline of a move as it is shown before anything is known of the VM. */
export const stepsOf = ({ live }: Pick<MoveRequest, 'live'>): StepName[] =>
  stepNames.filter((name) => {
    if (live === undefined) return name !== 'live';
    return live.fallback === 'cold' || !coldSteps.includes(name);
  });

export type Step = PipelineStep<StepName>;

export interface DiskProgress {
  name: string;
  capacityBytes: number;
  /** Bytes of data that have to cross, as far as is known. */
  totalBytes: number;
  /** Bytes that are on the target's stable storage. */
  doneBytes: number;
  bytesPerSecond: number;
}

export interface DiskResult {
  name: string;
  capacityBytes: number;
  /** Bytes of data that crossed, over all attempts. */
  bytesCopied: number;
  /** Of these, bytes that had to cross again after an interruption. */
  bytesRecopied: number;
  /** Root of the hash tree of each side, hex; absent if verification was off. */
  sourceHash?: string;
  targetHash?: string;
  verified: boolean;
  /** Not copied: both hosts see it. How that was proved. */
  shared?: SharedProof;
  /** Set where old progress could not be used again: why the copy began anew. */
  restarted?: string;
}

/** `nonce`: a random word written beside it by the source was read by the target. `content`: both read the same bytes. */
export type SharedProof = 'nonce' | 'content';

/** How firmly "one copy runs" was held. `enforced`: a live guard on both hosts. */
export type OneRunning = 'enforced' | 'observed' | 'none';

/** The state of a move; what queries, `vmferry status` and the end of the workflow give. */
export interface MoveReport extends PipelineReport<Phase, StepName> {
  /** `shared`: no disk was copied, only the definition moved. `live`: the guest ran on. */
  mode: 'cold' | 'shared' | 'live';
  source: string;
  disks: DiskResult[];
  oneRunning: OneRunning;
  /** Where the VM lives and may be started now. */
  vmOn: string;
  /** Whether it runs there, as last read back. */
  vmRunning: boolean;
  /** From the guest being down on the source to it being up on the target, ms; absent if it never ran. */
  downtimeMs?: number;
  /** Present if the VM was to move live. */
  live?: LiveReport;
  /** Present where nobody named the target: how it was chosen. */
  placement?: PlacementNote;
}

/** What a move would do, found out without touching anything: the answer of a dry run. */
export interface MovePlan {
  vm: { name: string; uuid: string };
  source: string;
  target: string;
  mode: MoveReport['mode'];
  /** Whether the VM runs now: it would be shut down. */
  running: boolean;
  concerns: Concern[];
  disks: PlannedDisk[];
  steps: StepName[];
  oneRunning: OneRunning;
  /** Present where nobody named the target: how it was chosen. */
  placement?: PlacementNote;
}

export interface PlannedDisk {
  name: string;
  how: 'copy' | 'shared';
  /** How the storage is known to be shared; `content` is proved only while the move runs. */
  proof?: SharedProof;
  capacityBytes: number;
  /** Bytes taken on the source's storage; what crosses is at most this, about. */
  allocationBytes: number;
  from: { path: string; format: DiskFormat };
  /** Path empty where the target's pool gives it when the volume is made. */
  to: { path: string; format: DiskFormat; pool: string };
}

/** Memory of a move about itself for one line in a list. */
export interface MoveSummary {
  id: string;
  runId: string;
  vmName: string;
  source: string;
  target: string;
  phase: string;
  startedAt: string;
  endedAt?: string;
}
