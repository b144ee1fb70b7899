/** Power states of vSphere in our words. */
import { VmState } from '../../domain/vm.ts';

/** A suspended VM has its memory on the datastore: neither running nor off, `other`. */
export function stateOf(powerState: string): VmState {
  if (powerState === 'poweredOn') return VmState.running;
  return powerState === 'poweredOff' ? VmState.shutOff : VmState.other;
}
