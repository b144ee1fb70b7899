/** Caps of moves, bytes a second; 0 is none, everywhere. */

/** The least of those that are set. */
export function lowestCap(...caps: readonly number[]): number {
  const set = caps.filter((cap) => cap > 0);
  return set.length === 0 ? 0 : Math.min(...set);
}

/** What one of so many moves gets of a cap that all of them share: never nothing, which would be no cap. */
export const shareOfCap = (cap: number, moves: number): number =>
  cap === 0 ? 0 : Math.max(1, Math.floor(cap / Math.max(1, moves)));
