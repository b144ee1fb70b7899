import { Limit } from './constants.ts';
import { protocolError } from './errors.ts';

/**
 * Which bytes of a read have arrived. Chunks of one reply may come in any order, but never overlap and
 * must leave no gap: a gap would hand old bytes of a reused buffer to the caller as disk content.
 */
export class Coverage {
  readonly #length: number;
  /** Disjoint, not adjacent, unordered; `[start, end)`. */
  readonly #pieces: { start: number; end: number }[] = [];

  constructor(length: number) {
    this.#length = length;
  }

  /** Throws a protocol error if the piece is empty, out of range or overlaps an earlier one. */
  add(start: number, length: number): void {
    const end = start + length;
    if (length <= 0 || start < 0 || end > this.#length) throw protocolError('data out of range');
    let merged = { start, end };
    for (let index = this.#pieces.length - 1; index >= 0; index--) {
      const piece = this.#pieces[index];
      if (piece === undefined || piece.end < start || piece.start > end) continue;
      if (piece.end > start && piece.start < end) throw protocolError('data came twice');
      merged = {
        start: Math.min(merged.start, piece.start),
        end: Math.max(merged.end, piece.end),
      };
      this.#pieces.splice(index, 1);
    }
    this.#pieces.push(merged);
    if (this.#pieces.length > Limit.readPieces) throw protocolError('read in too many pieces');
  }

  get complete(): boolean {
    const [piece] = this.#pieces;
    if (piece === undefined) return this.#length === 0;
    return this.#pieces.length === 1 && piece.start === 0 && piece.end === this.#length;
  }
}
