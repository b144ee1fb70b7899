/** Verbs of a host that belong to no move, as types. */
import type { BandwidthInForce } from '../domain/hosts/state.ts';
import type { PlacementVm } from '../domain/placement/vm.ts';

/** Caps that a person set; what is absent goes back to the host's own configuration. */
export type BandwidthOrder = Partial<BandwidthInForce>;

/** What a VM asks of the host that it is to be placed on, and that no request says. */
export type VmPlacementWishes = Pick<PlacementVm, 'rules' | 'requiredLabels'>;

export interface UpkeepActivities {
  /** Takes the caps over at once, for copies that run too, and remembers them over restarts. Gives what holds now. */
  applyLimits(input: BandwidthOrder): Promise<BandwidthInForce>;
  /** What the VM's metadata says of groups and labels; see docs/placement.md. Throws `vm-not-found`. */
  placementWishes(input: { vm: string }): Promise<VmPlacementWishes>;
}
