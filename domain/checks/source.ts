import type { Concern } from '../concerns.ts';
import { sourceRules } from './rules.ts';
import type { SourceView } from './views.ts';
import { concernsBy } from './walk.ts';

export type { SourceView } from './views.ts';

/** Everything on the source that speaks against the move, in the order of the rules. */
export const sourceConcerns = (view: SourceView): Concern[] =>
  concernsBy(sourceRules, view, view.vm.host);
