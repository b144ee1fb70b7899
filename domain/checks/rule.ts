import type { Concern } from '../concerns.ts';
import type { MoveRequest, SkippedCheck } from '../move.ts';

/** How the VM is to move: shut down (also where only its definition moves), or while it runs. */
export const MoveMode = { cold: 'cold', live: 'live' } as const;
export type MoveMode = (typeof MoveMode)[keyof typeof MoveMode];

export const modeOf = (request: Pick<MoveRequest, 'live'>): MoveMode =>
  request.live === undefined ? MoveMode.cold : MoveMode.live;

/** Which host judges by a rule, from what it sees itself and what the other told. */
export type Side = 'source' | 'target';

/** A code that a rule may find, as docs/checks.md explains it. */
export interface Outcome {
  level: Concern['level'];
  /** When it is found: a sentence. */
  meaning: string;
  /** What to do; a finding may say it with names. */
  remedy: string;
}

/** What a rule found in one case. */
export interface Finding<Code extends string = string> {
  code: Code;
  message: string;
  /** With the names of the case; else the outcome's. */
  remedy?: string;
  /** The host that it is about, where that is not the one that judges. */
  host?: string;
}

/** One matter of the checks. `judge` is pure; an empty list says that nothing speaks against the move. */
export interface Rule<View, Code extends string = string> {
  /** In which modes it speaks. */
  modes: readonly MoveMode[];
  /** The word that takes it out of force. */
  skip?: SkippedCheck;
  /** More than one where they exclude each other. */
  outcomes: Readonly<Record<Code, Outcome>>;
  judge: (view: View) => Finding<Code>[];
}

export const everyMode: readonly MoveMode[] = [MoveMode.cold, MoveMode.live];
export const coldOnly: readonly MoveMode[] = [MoveMode.cold];
export const liveOnly: readonly MoveMode[] = [MoveMode.live];
