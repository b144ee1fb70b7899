import type { ForeignVm } from '../../../../foreign.ts';
import type { NeighbourVm } from '../../../../host.ts';
import type { ImportMode } from '../../../../import/mode.ts';

/** Whether a VM of the target is told as this very one already, by its UUID: its name and its cards are not told too. */
export const isSameVm = (
  { uuid }: Pick<NeighbourVm, 'uuid'>,
  vm: Pick<ForeignVm, 'uuid'>,
  mode: ImportMode,
): boolean => mode === 'move' && vm.uuid !== '' && uuid.toLowerCase() === vm.uuid.toLowerCase();
