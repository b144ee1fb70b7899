/** A run of bytes of a disk. */
export interface Range {
  offset: number;
  length: number;
}

/** A set of bytes of a disk, kept as sorted, disjoint, not adjacent ranges. Cheap when filled nearly in order. */
export class RangeSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #bytes = 0;

  constructor(ranges: Iterable<Range> = []) {
    for (const { offset, length } of ranges) this.add(offset, length);
  }

  /** How many bytes the set holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many separate ranges the set holds. */
  get size(): number {
    return this.#starts.length;
  }

  /** Bytes that are in the set already are not counted twice. */
  add(offset: number, length: number): void {
    if (length <= 0) return;
    const end = offset + length;
    // The first range that ends at or after `offset`, and the first that starts after `end`.
    const from = this.#firstEndingFrom(offset);
    let to = from;
    let [mergedStart, mergedEnd] = [offset, end];
    while (to < this.#starts.length && (this.#starts[to] ?? 0) <= end) {
      mergedStart = Math.min(mergedStart, this.#starts[to] ?? mergedStart);
      mergedEnd = Math.max(mergedEnd, this.#ends[to] ?? mergedEnd);
      this.#bytes -= (this.#ends[to] ?? 0) - (this.#starts[to] ?? 0);
      to++;
    }
    this.#starts.splice(from, to - from, mergedStart);
    this.#ends.splice(from, to - from, mergedEnd);
    this.#bytes += mergedEnd - mergedStart;
  }

  /** The parts of `[offset, offset + length)` that are in the set, in order. */
  *within(offset: number, length: number): Generator<Range> {
    const limit = offset + length;
    for (let index = this.#firstEndingFrom(offset); index < this.#starts.length; index++) {
      const start = Math.max(this.#starts[index] ?? 0, offset);
      const end = Math.min(this.#ends[index] ?? 0, limit);
      if (start >= limit) return;
      if (end > start) yield { offset: start, length: end - start };
    }
  }

  /** The parts of `[offset, offset + length)` that are not in the set, in order. */
  *missing(offset: number, length: number): Generator<Range> {
    let at = offset;
    for (const part of this.within(offset, length)) {
      if (part.offset > at) yield { offset: at, length: part.offset - at };
      at = part.offset + part.length;
    }
    if (at < offset + length) yield { offset: at, length: offset + length - at };
  }

  /** How many bytes of `[offset, offset + length)` are in the set. */
  overlap(offset: number, length: number): number {
    let bytes = 0;
    for (const part of this.within(offset, length)) bytes += part.length;
    return bytes;
  }

  /** The bytes of this set that are not in `other`. */
  minus(other: RangeSet): RangeSet {
    const rest = new RangeSet();
    for (const { offset, length } of this) {
      for (const gap of other.missing(offset, length)) rest.add(gap.offset, gap.length);
    }
    return rest;
  }

  *[Symbol.iterator](): Generator<Range> {
    yield* this.within(0, Number.MAX_SAFE_INTEGER);
  }

  #firstEndingFrom(offset: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
