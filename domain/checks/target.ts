import type { Concern } from '../concerns.ts';
import { movedDisks } from '../disk-plan.ts';
import type { VmFacts, VmHostFile } from '../vm.ts';
import { targetRules } from './rules.ts';
import type { TargetView } from './views.ts';
import { concernsBy } from './walk.ts';

export type { TargetView } from './views.ts';

/** Everything on the target that speaks against the move, in the order of the rules. */
export const targetConcerns = (view: TargetView): Concern[] =>
  concernsBy(targetRules, view, view.target.name);

/** The files and devices that have to exist on the target for the VM to start there. */
export const neededFiles = (vm: VmFacts, sharedByWord: readonly string[] = []): VmHostFile[] => [
  ...vm.hostFiles.filter(({ role }) => role !== 'nvram'),
  ...vm.disks
    .filter(({ device, kind, path }) => device !== 'disk' && kind === 'file' && path !== '')
    .map(({ path }): VmHostFile => ({ role: 'other', path })),
  ...movedDisks(vm)
    .filter(({ name, kind }) => kind === 'block' && sharedByWord.includes(name))
    .map(({ path }): VmHostFile => ({ role: 'other', path })),
];
