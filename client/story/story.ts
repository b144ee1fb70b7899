/** The types of stories: what `move.story()` and `import.story()` give and `vmferry explain` tells. Times are ISO 8601 in UTC. */
import type { Concern } from '../../domain/concerns.ts';
import type { Fault } from '../../domain/errors.ts';
import type { ImportPhase, ImportReport, ImportStepName } from '../../domain/import.ts';
import type { MoveReport, Phase, StepName } from '../../domain/move.ts';
import type { GivenOrder } from '../../domain/pipeline.ts';
import type { MoveLiveResult } from '../../workflows/contract.ts';

/** One failed attempt of a piece of work. */
export interface StoryFailure {
  at: string;
  fault: Fault;
}

/** How one run of a live migration went, as the source saw it: what the verb answered. */
export type StoryRun = Omit<MoveLiveResult, 'held'>;

/** One thing that one host did for the move or the import, over all its attempts. */
export interface StoryWork {
  /** The step of the pipeline that it belongs to; absent for undoing and tidying up. */
  step?: StepName | ImportStepName;
  /** Name of the activity: `ensureCopied`. */
  verb: string;
  host: string;
  /** In words, as the UI of Temporal shows it: `copy vda`. */
  what: string;
  /** Whether it undid something. */
  undo: boolean;
  /** `waiting`: no worker of the host has taken it up. `given-up`: it failed and was not tried again. */
  state: 'waiting' | 'running' | 'done' | 'retrying' | 'given-up' | 'cancelled';
  attempts: number;
  /** When the first attempt was asked for. */
  startedAt: string;
  endedAt?: string;
  /** The first ten failed attempts and the latest ten; `attempts` counts them all. */
  failures: StoryFailure[];
  /** Bytes that it moved, where it says so. */
  bytes?: number;
  /** Of these, bytes that crossed a second time. */
  bytesRecopied?: number;
  /** Of an import: bytes that an earlier one had left in the cache. */
  bytesFromCache?: number;
  /** Of an import: what became of its source when it was given back. */
  gaveBack?: 'started' | 'goes-on' | 'stays-off' | 'untouched';
  /** Of a live migration. */
  live?: StoryRun;
  /** `forced`: the guest did not follow and was powered off. `already-off`: nothing to stop. */
  shutdown?: 'graceful' | 'forced' | 'already-off';
}

/** One moment of the story, in the order in which things began. */
export type StoryMoment<AnyPhase = Phase> =
  | { kind: 'asked'; at: string; by: string }
  | { kind: 'phase'; at: string; phase: AnyPhase }
  | ({ kind: 'work'; at: string } & StoryWork)
  | { kind: 'order'; at: string; order: GivenOrder['order']; by: string }
  /** The workflow itself could not go on: a defect, an older worker, a payload that nobody can read. */
  | { kind: 'stuck'; at: string; message: string }
  | { kind: 'ended'; at: string; how: StoryEnd; by?: string; reason?: string };

/** How the workflow ended. `terminated` and `timed-out`: from outside, so that nothing could be undone. */
export type StoryEnd = 'completed' | 'failed' | 'cancelled' | 'terminated' | 'timed-out' | 'other';

/** What a move that was ended from outside has left behind, as far as its history tells. */
export interface StoryLeftovers {
  /** The source's guard still refuses to start the VM. */
  sourceGuarded: boolean;
  /** Volumes of the move on the target. */
  targetVolumes: boolean;
  /** Exports that the source may still offer. */
  exports: boolean;
}

/** What the stories of moves and of imports have in common. */
export interface Told<AnyPhase, Report> {
  id: string;
  runId: string;
  vm: { name: string; uuid: string };
  source: string;
  target: string;
  /** Who asked for it. */
  operator: string;
  /** The last phase that it entered. */
  phase: AnyPhase;
  /** While parked: the phase it will go on from. */
  parkedIn?: AnyPhase;
  /** How the workflow ended; absent while it goes on. */
  end?: StoryEnd;
  startedAt: string;
  endedAt?: string;
  /** Where the VM lives; empty while its source has given it up and its target does not have it yet. */
  vmOn: string;
  vmRunning: boolean;
  /** Whether it has run on the target, so that going back loses what it wrote there. */
  targetHasRun: boolean;
  /** How long the guest was down over all of it, ms; absent if it never was. Counts on while it is down. */
  downMs?: number;
  /** Whether it has taken the guest down and not brought it up again. */
  downNow: boolean;
  concerns: Concern[];
  /** The first thing that failed. */
  firstError?: StoryFailure & { host: string; what: string };
  /** What stands in the way now, or what ended it. */
  fault?: Fault;
  /** Undo work that failed. */
  failedUndo: { host: string; what: string; fault: Fault }[];
  leftovers?: StoryLeftovers;
  timeline: StoryMoment<AnyPhase>[];
  /** The workflow's own last report, where its history holds it (it does for what was committed or rolled back). */
  report?: Report;
}

/** A move from its history alone: told without a worker, also of one that is over or was terminated. */
export type Story = Told<Phase, MoveReport>;

/** The same of an import; its `source` is the provider. A clone's source is not told of: it goes its own way. */
export interface ImportStory extends Told<ImportPhase, ImportReport> {
  kind: 'import';
  foreign: { provider: string; id: string; name: string };
  conversionHost: string;
  clone: boolean;
  /** Until when what was copied is kept, if so. */
  cachedUntil?: string;
}
