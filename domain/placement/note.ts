import type { StartPolicy } from './weighers.ts';

/** A choice as a move remembers it: short, however many hosts there are. */
export interface PlacementNote {
  policy: StartPolicy;
  /** The host that somebody would have liked best. */
  preferHost?: string;
  /** A sentence a host: what spoke for the chosen one first, then the others; at most `mostReasons` of note-of.ts. */
  reasons: string[];
}
