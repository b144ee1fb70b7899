/** Verbs of a host that belong to no move, as types. */
import type { Fault } from '../domain/errors.ts';
import type { BandwidthInForce } from '../domain/hosts/state.ts';
import type { PlacementVm } from '../domain/placement/vm.ts';
import type { VmFacts } from '../domain/vm.ts';

/** Caps that a person set; what is absent goes back to the host's own configuration. */
export type BandwidthOrder = Partial<BandwidthInForce>;

/** What a VM asks of the host that it is to be placed on, and that no request says. */
export type VmPlacementWishes = Pick<PlacementVm, 'rules' | 'requiredLabels'>;

/** What of a VM bears on the host that it may go to. */
export interface VmToPlace {
  facts: VmFacts;
  /** What its metadata says of groups and labels (docs/placement.md), or why nobody understands it. */
  wishes: VmPlacementWishes | { fault: Fault };
}

export interface UpkeepActivities {
  /** Takes the caps over at once, for copies that run too, and remembers them over restarts. Gives what holds now. */
  applyLimits(input: BandwidthOrder): Promise<BandwidthInForce>;
  /** A VM that is to be placed, read now. Throws `vm-not-found`. */
  lookToPlace(input: { vm: string }): Promise<VmToPlace>;
}
