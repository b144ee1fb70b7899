/** What the reports of moves and of imports have in common: a pipeline of steps, what stands in its way, who said what. */
import type { Concern } from './concerns.ts';
import type { Fault } from './errors.ts';

export interface PipelineStep<N extends string = string> {
  name: N;
  state: 'waiting' | 'running' | 'done' | 'skipped' | 'failed';
  /** ISO 8601, UTC; absent until it happens. */
  startedAt?: string;
  endedAt?: string;
  /** How often an activity of this step failed and was tried again, as far as was seen. */
  attempts: number;
  firstError?: Fault;
  /** Bytes that it moved or read, where it has any. */
  bytes?: number;
}

/** What a person told a move or an import that was under way. */
export interface GivenOrder {
  order: 'commit' | 'rollback' | 'retry' | 'cancel' | 'tune';
  /** Who, as the client said; empty if it did not say. */
  operator: string;
  /** ISO 8601, UTC. */
  at: string;
}

export interface PipelineReport<P extends string = string, N extends string = string> {
  /** The workflow's ID. */
  id: string;
  runId: string;
  vm: { name: string; uuid: string };
  target: string;
  operator: string;
  phase: P;
  /** While parked: the phase it will go on from. */
  parkedIn?: P;
  steps: PipelineStep<N>[];
  concerns: Concern[];
  /** First error that mattered, with its remedy; kept even if it went on. */
  firstError?: Fault;
  /** What stands in the way now. */
  fault?: Fault;
  /** Undo steps that failed, shown to the operator. */
  failedCompensations: Fault[];
  /** Things that a person should know, e.g. that a VM was left off. */
  notes: string[];
  /** Orders that were accepted, oldest first; the latest 100. Absent where none was given. */
  orders?: GivenOrder[];
  startedAt: string;
  endedAt?: string;
}
