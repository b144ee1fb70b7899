import type { ImportMode } from '../../import/mode.ts';
import type { Finding, Outcome } from '../rule.ts';

/**
 * What a rule judges from: the VM at its source, what was asked, the target, the host that
 * converts, or all imports of one request.
 */
export type ForeignSide = 'source' | 'request' | 'target' | 'conversion host' | 'batch';

/** One matter of the checks of an import. `judge` is pure; an empty list says that nothing speaks against it. */
export interface ForeignRule<View, Code extends string = string> {
  /** In which modes it speaks. */
  modes: readonly ImportMode[];
  /** More than one where they exclude each other for one thing. */
  outcomes: Readonly<Record<Code, Outcome>>;
  judge: (view: View) => Finding<Code>[];
}

export const everyMode: readonly ImportMode[] = ['move', 'clone'];
export const moveOnly: readonly ImportMode[] = ['move'];
export const cloneOnly: readonly ImportMode[] = ['clone'];
