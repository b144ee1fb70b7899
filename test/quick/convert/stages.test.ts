import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StageReader, type ConversionProgress } from '../../../convert/stages.ts';

const output = `[   0.0] Setting up the source: -i libvirtxml d.xml
[   2.3] Opening the source
\r  3% [**------] 00:12\r 45% [****----] 00:05\r100% [********] 00:00
[ 397.2] Converting Debian GNU/Linux 12 (bookworm) to run on KVM
`;

const told = (pieces: readonly string[]): ConversionProgress[] => {
  const all: ConversionProgress[] = [];
  const reader = new StageReader((progress) => all.push(progress));
  for (const piece of pieces) reader.read(piece);
  return all;
};

describe('the stages of a conversion', () => {
  it('are told with their time and percentage', () => {
    expect(told([output])).toEqual([
      { stage: 'Setting up the source: -i libvirtxml d.xml', elapsedMs: 0 },
      { stage: 'Opening the source', elapsedMs: 2300 },
      ...[3, 45, 100].map((percent) => ({ stage: 'Opening the source', elapsedMs: 2300, percent })),
      { stage: 'Converting Debian GNU/Linux 12 (bookworm) to run on KVM', elapsedMs: 397_200 },
    ]);
  });

  it('are the same however the output is cut', () => {
    const cuts = fc.array(fc.nat(output.length), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, (at) => {
        const places = [0, ...at.toSorted((a, b) => a - b), output.length];
        const pieces = places.slice(1).map((end, index) => output.slice(places[index], end));
        expect(told(pieces)).toEqual(told([output]));
      }),
      { numRuns: 50 },
    );
  });

  it('keep nothing of a line without end', () => {
    expect(told(['x'.repeat(1_000_000), '\n[   1.0] Next\n'])).toHaveLength(1);
  });
});
