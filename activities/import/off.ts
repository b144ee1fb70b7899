import { VmState } from '../../domain/vm.ts';

/** Whether nobody writes to the VM's disks by running it. */
export const isVmOff = (state: VmState): boolean =>
  state === VmState.shutOff || state === VmState.crashed;
