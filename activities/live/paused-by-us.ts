import { LivePlace } from '../../domain/live-outcome.ts';
import type { AdmissionMemory, LiveMemory } from '../move-folder.ts';

/**
 * Where a guest stands that the convergence policy paused: in the middle of the switch, whatever reason libvirt keeps
 * for its pause. Else a copy that only waits for its end, or to go on, would pass for a VM that a person paused.
 */
export const placeByUs = (place: LivePlace, memory: LiveMemory | undefined): LivePlace =>
  place === LivePlace.paused && memory?.paused === true ? LivePlace.switching : place;

/** The memory of a run whose guest goes on again: from now on a pause is somebody else's. */
export function unpaused({ paused: _, ...memory }: LiveMemory): LiveMemory {
  return memory;
}

/** Where a guest stands at the target: what arrived paused and was never let go is nobody's pause but the move's. */
export const placeHeld = (place: LivePlace, admission: AdmissionMemory | undefined): LivePlace =>
  place === LivePlace.paused && admission?.holds === true && admission.letGo !== true
    ? LivePlace.held
    : place;
