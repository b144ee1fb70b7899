/**
 * The verbs of an import, as types: the workflows see this file. Those of the conversion host work on its cache; those
 * of the target stand beside `reserveTarget`, `ensureCopied`, `takeOwnership` and the others of every move.
 */
import type { Concern } from '../../domain/concerns.ts';
import type { Fault } from '../../domain/errors.ts';
import type { ForeignVm, ForeignVmSummary } from '../../domain/foreign.ts';
import type {
  ConversionHostFacts,
  ConversionReport,
  ConversionStage,
  ImportPlan,
  ImportRequest,
} from '../../domain/import.ts';
import type { DiskPlan } from '../../domain/disk-plan.ts';
import type { ConversionInForce, ConversionTerms } from '../../domain/hosts/conversion.ts';
import type { UsageOverTime, UsageSpan } from '../../domain/import/usage.ts';
import type { RehearsalReport, RehearsalWish } from '../../domain/import/rehearsal.ts';
import type { DiskProgress } from '../../domain/move.ts';
import type { EpochRef, LedgerView, MoveRef, OpenExport } from '../contract.ts';

/** Names an import on its conversion host. */
export interface ImportRef {
  /** The workflow's ID, for messages. */
  moveId: string;
  /** The first run's ID: unique over all moves and imports. */
  migrationId: string;
  provider: string;
  foreign: { id: string; name: string };
  /** For how long the cache keeps what was copied if the import ends without a last word, s. */
  keepSeconds: number;
  /** Whether what it keeps is compressed; no if absent. */
  compress?: true;
}

export interface ListForeignInput {
  provider: string;
  /** How many lines were seen already. */
  skip: number;
  /** At most 2,000: an answer has to fit into one message of Temporal. */
  most: number;
}

export interface ListForeignResult {
  vms: ForeignVmSummary[];
  more: boolean;
}

export interface InspectForeignInput {
  provider: string;
  /** ID, name or UUID. */
  vm: string;
}

export interface InspectForeignResult {
  vm: ForeignVm;
  /** What only the platform can say; the rules of the table are judged with a target. */
  concerns: Concern[];
}

/** What the conversion host found out; fixed for the rest of the import. */
export interface ForeignCheck extends InspectForeignResult {
  host: ConversionHostFacts;
  /** What the cache has of this VM already, by what its images take up; packed ones need their room again. */
  cachedBytes: number;
}

export interface StopForeignInput extends ImportRef {
  running: Exclude<ImportRequest['running'], 'pause' | 'leave'>;
  shutdownTimeoutMs: number;
  /** Whether the host starts it again by itself, where the import ends without its undo. */
  restart: boolean;
}

export interface StopForeignResult {
  /** Whether it ran when this import first looked; remembered on the conversion host over all attempts. */
  wasRunning: boolean;
  /** How long ago it was seen to be off, ms. */
  downForMs: number;
  /** Its guest did not follow in time, and its power was cut. */
  forced?: true;
}

export interface RestartForeignInput extends ImportRef {
  /** Start it if this import had stopped it and it ran. */
  restart: boolean;
}

export interface RestartForeignResult {
  running: boolean;
  /** Whether this import had it shut down. */
  wasStopped: boolean;
}

export interface CacheInput extends ImportRef {
  vm: ForeignVm;
  /** Keys of the disks that come along. */
  disks: string[];
  bandwidthBytesPerSecond: number;
  /** What a source that runs may do meanwhile: a clone is of one moment. */
  running: ImportRequest['running'];
}

export interface VerifyForeignInput extends CacheInput {
  /** Right before the target takes the VM over: from then on the host starts the source by nobody's word but the import's. */
  handsOver?: true;
}

/** The cap of a copy that runs, bytes a second; 0 is none. */
export interface TuneCacheInput extends ImportRef {
  bandwidthBytesPerSecond: number;
}

export interface ReserveCacheInput extends ImportRef {
  /** As `cacheNeed` says; `besideBytes` of it are for the conversion. */
  neededBytes: number;
  besideBytes: number;
  /** Asks again for so long where others have to make room first, ms; once if absent. */
  waitMs?: number;
}

/** `fault` says what is waited for. */
export type ReserveCacheAnswer = { granted: true } | { granted: false; fault: Fault };

export interface UploadShareInput extends ImportRef {
  /** What the import holds to now: the answer waits until it is to be another; at once if absent. */
  known?: number;
}

export interface CachedDisk {
  key: string;
  bytesCopied: number;
  bytesRecopied: number;
  bytesFromCache: number;
  restarted?: string;
  way?: string;
}

export interface CacheResult {
  disks: CachedDisk[];
}

export interface ConvertInput extends ImportRef {
  vm: ForeignVm;
  plan: ImportPlan;
  root?: string;
  luksKeys: { device: string; reference: string }[];
}

export interface RehearseInput extends ImportRef {
  vm: ForeignVm;
  plan: ImportPlan;
  wish: RehearsalWish;
}

export interface CachedDiskInput extends ImportRef {
  key: string;
  capacityBytes: number;
  /** Place among the converted disks, from 0; absent: the copy as it came. */
  overlay?: number;
}

export interface CachedExportInput extends CachedDiskInput {
  /** Name of the disk on the target. */
  name: string;
  target: string;
  /** As it is called on the target. */
  vm: MoveRef['vm'];
  operator: string;
}

export interface KeepCacheInput extends ImportRef {
  /** From now on; 0 drops it at once. */
  seconds: number;
}

/** Absent: nothing of it is there. */
export interface KeepCacheResult {
  until?: string;
}

export interface CheckImportTargetInput extends MoveRef {
  request: ImportRequest;
  foreign: ForeignCheck;
}

export interface ImportTargetCheck {
  concerns: Concern[];
  /** Absent where a concern forbids it. */
  plan?: ImportPlan;
  ledger?: LedgerView;
  guardLive: boolean;
}

export interface DefineImportInput extends EpochRef {
  foreign: ForeignVm;
  plan: ImportPlan;
  /** With the places that the volumes got. */
  disks: DiskPlan[];
}

/** Details of an import's heartbeats: for progress only. */
export interface ImportHeartbeat {
  disks?: DiskProgress[];
  conversion?: ConversionStage;
}

export interface ImportActivities {
  /** Conversion host: its own facts, with the providers that its configuration names. */
  conversionFacts(): Promise<ConversionHostFacts>;
  /** Conversion host: how full its disks were. */
  conversionUsage(input: { span: UsageSpan }): Promise<UsageOverTime>;
  listForeign(input: ListForeignInput): Promise<ListForeignResult>;
  inspectForeign(input: InspectForeignInput): Promise<InspectForeignResult>;
  /**
   * Conversion host: VM, the platform's concerns and the host's own facts, at one time. What an import of the VM before
   * this one owes to its source is settled first.
   */
  checkForeign(input: ImportRef): Promise<ForeignCheck>;
  /** Conversion host: takes over what people set of it, and remembers that over restarts. */
  applyConversion(input: ConversionTerms): Promise<ConversionInForce>;
  /**
   * Conversion host: one of the places of imports that it works on at a time, and room for its disks, promised to no
   * other. Throws `cache-full` where no waiting helps, `conversion-host-disabled`.
   */
  reserveCache(input: ReserveCacheInput): Promise<ReserveCacheAnswer>;
  /** Conversion host: what the import may send, its share of the host's cap; 0 is none. */
  uploadShare(input: UploadShareInput): Promise<{ bytesPerSecond: number }>;
  /** Conversion host: the source off, read back. Throws `shutdown-unsupported`, `shutdown-timed-out`. */
  stopForeign(input: StopForeignInput): Promise<StopForeignResult>;
  /**
   * Conversion host: every disk whole in the cache, of the state that `verifyUnchanged` vouches for. Goes on where an
   * earlier attempt, or an earlier import, ended. Throws `source-changed`.
   */
  ensureCached(input: CacheInput): Promise<CacheResult>;
  /** Conversion host: changes the cap of a copy that runs; false if there is none. */
  tuneCache(input: TuneCacheInput): Promise<boolean>;
  /** Conversion host: the source is off now, and its disks are what was copied. Throws `source-changed`. */
  verifyForeign(input: VerifyForeignInput): Promise<void>;
  /**
   * Conversion host: reads the cache back from stable storage and compares it with what was read of the source. Throws
   * `copy-differs`, and what differs is copied anew by the next `ensureCached`.
   */
  verifyCached(input: CacheInput): Promise<void>;
  ensureConverted(input: ConvertInput): Promise<ConversionReport>;
  /** Conversion host: whether a rehearsal could be checked so. Throws `rehearsal-check-unknown` and the like. */
  checkRehearsal(input: RehearseInput): Promise<void>;
  /**
   * Conversion host: the VM started from throw-away images apart from everything, and ended again, whatever comes.
   * Throws `rehearsal-failed`.
   */
  rehearse(input: RehearseInput): Promise<RehearsalReport>;
  ensureCachedExport(input: CachedExportInput): Promise<OpenExport>;
  hashCached(input: CachedDiskInput): Promise<{ root: string }>;
  /** Conversion host: ends what runs of the import and what it shows. */
  closeCachedExports(input: ImportRef): Promise<void>;
  /** Conversion host: the last verb there. */
  keepCache(input: KeepCacheInput): Promise<KeepCacheResult>;
  /** Conversion host: what an import that is over left. Throws `cache-in-use`. */
  dropCache(input: { provider: string; foreign: ImportRef['foreign'] }): Promise<void>;
  /** Conversion host: the source as it was; says whether it runs now. */
  restartForeign(input: RestartForeignInput): Promise<RestartForeignResult>;

  /** Target: judges, and plans what the VM becomes. */
  checkImportTarget(input: CheckImportTargetInput): Promise<ImportTargetCheck>;
  /** Target: defined; not startable before the cutover. */
  defineImport(input: DefineImportInput): Promise<{ complaint: string }>;
  /** Target, undo: as `clearTarget`, and the guard forgets a VM that it knew by this import alone. */
  clearImport(input: EpochRef): Promise<void>;
}
