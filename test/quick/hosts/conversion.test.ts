import { describe, expect, it } from 'vitest';
import {
  conversionRefusedBecause,
  newConversion,
  refusesImports,
  termsToApply,
  withConversionChange,
} from '../../../domain/hosts/conversion.ts';
import type { ConversionChange, ConversionState } from '../../../domain/hosts/conversion.ts';

const at = '2026-03-04T10:00:00.000Z';
const changed = (change: ConversionChange, before: ConversionState = newConversion) =>
  withConversionChange(before, { operator: 'eve', ...change }, at);

describe('the role of a conversion host', () => {
  it('is there by itself, and what is not named stays', () => {
    expect(refusesImports(newConversion.role)).toBeUndefined();
    const state = changed({ parallel: 4 }, changed({ downBytesPerSecond: 1000 }));
    expect(state.role).toEqual({
      ...{ given: true, enabled: true, downBytesPerSecond: 1000, parallel: 4 },
    });
  });

  it('says by whom it was taken, and comes back by a word alone', () => {
    const gone = changed({ given: false });
    expect(refusesImports(gone.role)).toContain('no conversion host any more');
    expect(refusesImports(changed({ enabled: true }, gone).role)).toContain('any more');
    expect(refusesImports(changed({ given: true }, gone).role)).toBeUndefined();
    expect(refusesImports(changed({ enabled: false }).role)).toBe('is disabled');
    expect(gone.deeds).toEqual([{ at, operator: 'eve', what: 'deleted' }]);
  });

  it('keeps the latest fifty deeds', () => {
    let state = newConversion;
    for (let number = 1; number <= 60; number += 1) state = changed({ parallel: number }, state);
    expect(state.deeds).toHaveLength(50);
    expect(state.deeds.at(-1)?.what).toBe('parallel 60');
    const limits = { upBytesPerSecond: 0, downBytesPerSecond: 2000 };
    expect(changed(limits).deeds.at(-1)?.what).toBe('no limit up, down 2000 B/s');
  });

  it('takes rates from 8 Kbit/s to 32 Gbit/s, none, and 1 to 64 at a time', () => {
    for (const rate of [0, 1000, 4e9])
      expect(conversionRefusedBecause({ upBytesPerSecond: rate })).toEqual([]);
    for (const rate of [-1, 1, 999, 4e9 + 1, 1000.5, Number.NaN])
      expect(conversionRefusedBecause({ downBytesPerSecond: rate }), `${rate}`).toHaveLength(1);
    expect(conversionRefusedBecause({ parallel: 64 })).toEqual([]);
    for (const parallel of [0, 65, 1.5])
      expect(conversionRefusedBecause({ parallel }), `${parallel}`).toHaveLength(1);
  });

  it('is told to the worker until that holds to it', () => {
    expect(termsToApply(undefined)).toBeUndefined();
    const state = changed({ upBytesPerSecond: 5000, enabled: false });
    const terms = { takesImports: false, upBytesPerSecond: 5000 };
    expect(termsToApply(state)).toEqual(terms);
    const inForce = { ...terms, downBytesPerSecond: 7, parallel: 2 };
    expect(termsToApply({ ...state, inForce })).toBeUndefined();
    // A change is not in force before the worker says so.
    expect(termsToApply(changed({ enabled: true }, { ...state, inForce }))).toMatchObject({
      takesImports: true,
    });
  });
});
