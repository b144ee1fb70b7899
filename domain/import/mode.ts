import type { ForeignVm } from '../foreign.ts';
import type { ImportRequest } from '../import.ts';

/** `move`: the source is off once the VM starts on its target. `clone`: it may go on at its place. */
export const ImportMode = { move: 'move', clone: 'clone' } as const;
export type ImportMode = (typeof ImportMode)[keyof typeof ImportMode];

/** A VM without a guest in it has nothing that could go on: what is asked for running ones does not matter then. */
export const isOff = ({ state }: Pick<ForeignVm, 'state'>): boolean =>
  state === 'shut-off' || state === 'crashed';

/** Whether the guest is asked first, whatever comes after that. */
export const asksGuest = ({ running }: Pick<ImportRequest, 'running'>): boolean =>
  running === 'shutdown' || running === 'shutdown-or-force-off';

export const modeOfImport = (
  vm: Pick<ForeignVm, 'state'>,
  { running }: Pick<ImportRequest, 'running'>,
): ImportMode =>
  !isOff(vm) && (running === 'pause' || running === 'leave') ? ImportMode.clone : ImportMode.move;
