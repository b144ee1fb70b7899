import type { PlacementHost } from '../host.ts';
import type { Question } from '../question.ts';

/** A rule that a host has to pass, and that no reservation changes: asked once for all VMs that ask the same. */
export interface FixedFilter {
  /** Stable, kebab-case. */
  readonly name: string;
  /** What it asks of the VM has to be in `Question.fixedKey`. */
  readonly passes: (host: PlacementHost, question: Question) => boolean;
  /** Why a host was refused, as a sentence without its full stop; called only for one that did not pass. */
  readonly reason: (host: PlacementHost, question: Question) => string;
}

/** A rule that is asked anew for every VM. A host is known by its place in `Fleet.hosts`. */
export interface ChangingFilter {
  readonly name: string;
  /** Whether it can refuse any host to this VM. */
  readonly applies: (question: Question) => boolean;
  /** Called for every host of every placement: looks only, makes nothing. */
  readonly passes: (at: number, question: Question) => boolean;
  readonly reason: (host: PlacementHost, at: number, question: Question) => string;
}
