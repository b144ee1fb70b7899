import type { Concern } from '../concerns.ts';
import { movedDisks } from '../disk-plan.ts';
import type { MoveRequest } from '../move.ts';
import type { VmFacts, VmHostFile } from '../vm.ts';
import { targetRules } from './rules.ts';
import type { TargetView } from './views.ts';
import { concernsBy } from './walk.ts';

export type { TargetView } from './views.ts';

/** Everything on the target that speaks against the move, in the order of the rules. */
export const targetConcerns = (view: TargetView): Concern[] =>
  concernsBy(targetRules, view, view.target.name);

/** The files and devices that have to exist on the target for the VM to start there, or to go on. */
export function neededFiles(
  vm: VmFacts,
  { live, sharedDisks = [] }: Pick<MoveRequest, 'live' | 'sharedDisks'> = {},
): VmHostFile[] {
  const media = vm.disks.filter(
    ({ device, kind, path }) => device !== 'disk' && kind === 'file' && path !== '',
  );
  const devices = movedDisks(vm).filter(
    ({ name, kind }) => kind === 'block' && sharedDisks.includes(name),
  );
  const needed = [
    ...vm.hostFiles.filter(({ role }) => role !== 'nvram'),
    ...(live === undefined ? [] : (vm.running?.files ?? [])),
    ...[...media, ...devices].map(({ path }): VmHostFile => ({ role: 'other', path })),
  ];
  return needed.filter(({ path }, at) => needed.findIndex((one) => one.path === path) === at);
}
