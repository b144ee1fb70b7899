import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeSet } from '../../../transfer/range-set.ts';

const range = fc.record({ offset: fc.nat(60), length: fc.nat(15) });

/** What a set of ranges means, the slow way. */
const bytesOf = (ranges: Iterable<{ offset: number; length: number }>): Set<number> => {
  const bytes = new Set<number>();
  for (const { offset, length } of ranges)
    for (let at = offset; at < offset + length; at++) bytes.add(at);
  return bytes;
};

const both = (a: Set<number>, b: Set<number>) => new Set([...a].filter((at) => b.has(at)));
const without = (a: Set<number>, b: Set<number>) => new Set([...a].filter((at) => !b.has(at)));

describe('a set of ranges', () => {
  it('holds exactly the bytes that were added, in as few ranges as can be', () => {
    fc.assert(
      fc.property(fc.array(range), fc.array(range), range, (added, others, asked) => {
        const set = new RangeSet(added);
        const bytes = bytesOf(added);
        expect(bytesOf(set)).toEqual(bytes);
        expect(set.bytes).toBe(bytes.size);
        const parts = [...set];
        expect(parts.length).toBe(set.size);
        for (const [index, part] of parts.entries()) {
          const before = parts[index - 1];
          if (before) expect(part.offset).toBeGreaterThan(before.offset + before.length);
        }
        const inside = both(bytesOf([asked]), bytes);
        expect(bytesOf(set.within(asked.offset, asked.length))).toEqual(inside);
        expect(set.overlap(asked.offset, asked.length)).toBe(inside.size);
        const gaps = [...set.missing(asked.offset, asked.length)];
        expect(bytesOf(gaps)).toEqual(without(bytesOf([asked]), bytes));
        expect(gaps.every(({ length }) => length > 0)).toBe(asked.length > 0 || gaps.length === 0);
        expect(bytesOf(set.minus(new RangeSet(others)))).toEqual(without(bytes, bytesOf(others)));
      }),
      { numRuns: 500 },
    );
  });
});
