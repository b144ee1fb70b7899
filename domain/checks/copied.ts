import {
  copiesOf,
  movedDisks,
  poolFor,
  poolKind,
  sharedProof,
  targetFormatFor,
} from '../disk-plan.ts';
import type { PoolFacts } from '../host.ts';
import type { PlaceKind, VmDisk } from '../vm.ts';
import type { StorageView } from './views.ts';

/** The disks that the target does not see, in the definition's order. */
export const copiedDisks = (view: StorageView): VmDisk[] =>
  movedDisks(view.vm).filter((disk) => sharedProof(disk, view) === undefined);

/** What is made for them on the target: each image of a chain that is kept counts. */
export const copiedImages = (view: StorageView): VmDisk[] =>
  copiedDisks(view).flatMap((disk) => copiesOf(disk, view));

/** Whether a pool can hold an image as it is wanted. */
export type Fit = { pool: PoolFacts; kind: PlaceKind } | 'missing' | 'unusable' | 'format-unfit';

export function fitOf(disk: VmDisk, view: StorageView): Fit {
  const pool = poolFor(disk, view);
  if (pool === undefined) return 'missing';
  const kind = poolKind(pool);
  if (!pool.active || kind === undefined) return 'unusable';
  if (kind !== 'file' && targetFormatFor(disk, view) !== 'raw') return 'format-unfit';
  return { pool, kind };
}
