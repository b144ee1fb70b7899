import type { Concern } from '../concerns.ts';
import { storageRules } from './rules.ts';
import type { StorageView } from './views.ts';
import { concernsBy } from './walk.ts';

export type { StorageView } from './views.ts';

/** What speaks against each disk's way to the target, and against all of them together. */
export const storageConcerns = (view: StorageView): Concern[] =>
  concernsBy(storageRules, view, view.target.name);
