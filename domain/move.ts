import type { Concern } from './concerns.ts';
import type { Fault } from './errors.ts';

/** The life of a move. The last five are ends; `parked` waits for a person. */
export const Phase = {
  planned: 'planned',
  checking: 'checking',
  preparing: 'preparing',
  stopping: 'stopping',
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
}

/** The steps of a cold move, in order; the whole pipeline is shown before it starts. */
export const stepNames = [
  'check',
  'reserve-target',
  'guard-source',
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

export interface Step {
  name: StepName;
  state: 'waiting' | 'running' | 'done' | 'skipped' | 'failed';
  /** ISO 8601, UTC; absent until it happens. */
  startedAt?: string;
  endedAt?: string;
  /** How often an activity of this step failed and was tried again, as far as was seen. */
  attempts: number;
  firstError?: Fault;
}

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
  /** Set where old progress could not be used again: why the copy began anew. */
  restarted?: string;
}

/** How firmly "one copy runs" was held. `enforced`: a live guard on both hosts. */
export type OneRunning = 'enforced' | 'observed' | 'none';

/** The state of a move; what queries, `vmferry status` and the end of the workflow give. */
export interface MoveReport {
  /** The workflow's ID: `migrate/<cluster>/<vm uuid>`. */
  id: string;
  runId: string;
  mode: 'cold';
  vm: { name: string; uuid: string };
  source: string;
  target: string;
  operator: string;
  phase: Phase;
  /** While parked: the phase it will go on from. */
  parkedIn?: Phase;
  steps: Step[];
  concerns: Concern[];
  disks: DiskResult[];
  oneRunning: OneRunning;
  /** Where the VM lives and may be started now. */
  vmOn: string;
  /** Whether it runs there, as last read back. */
  vmRunning: boolean;
  /** First error that mattered, with its remedy; kept even if the move went on. */
  firstError?: Fault;
  /** What stands in the way now. */
  fault?: Fault;
  /** Undo steps that failed, shown to the operator. */
  failedCompensations: Fault[];
  /** Things that a person should know, e.g. that a VM was left off. */
  notes: string[];
  startedAt: string;
  endedAt?: string;
  /** From the guest being down on the source to it being up on the target, ms; absent if it never ran. */
  downtimeMs?: number;
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
