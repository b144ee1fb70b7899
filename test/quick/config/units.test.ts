import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatByteRate,
  formatBytes,
  formatDuration,
  parseByteRate,
  parseBytes,
  parseDurationMs,
} from '../../../config/units.ts';

describe('units', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['4096B', 4096],
    ['1kB', 1000],
    ['1KiB', 1024],
    ['1.5 GiB', 1_610_612_736],
    ['2TiB', 2 * 1024 ** 4],
  ])('reads the size %s', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  it.each([
    '',
    '-1',
    '1.5',
    '1.5B',
    '1gib',
    '1GiBs',
    'GiB',
    '1e9',
    '0x10',
    '1 GiB 2',
    '99999999TiB',
    '1__proto__',
    '1toString',
    '１GiB',
  ])('refuses the size %j', (text) =>
    expect(() => parseBytes(text)).toThrow(expect.objectContaining({ code: 'size-invalid' })),
  );

  it.each([
    ['0', 0],
    ['100MiB/s', 104_857_600],
    ['1Gbit/s', 125_000_000],
    ['8kbit/s', 1000],
    ['2.5 Gbit/s', 312_500_000],
  ])('reads the rate %s', (text, rate) => expect(parseByteRate(text)).toBe(rate));

  it.each(['100', '100MiB', '1GiB/m', '/s', '0.000000001kB/s'])(
    'refuses the rate %j: a size is no rate, and a trickle is not no limit',
    (text) =>
      expect(() => parseByteRate(text)).toThrow(expect.objectContaining({ code: 'rate-invalid' })),
  );

  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
  ])('reads the duration %s', (text, ms) => expect(parseDurationMs(text)).toBe(ms));

  it.each(['30', '5M', '1 week', '-1s', '1.5ms'])('refuses the duration %j', (text) =>
    expect(() => parseDurationMs(text)).toThrow(
      expect.objectContaining({ code: 'duration-invalid' }),
    ),
  );

  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [10_444, '10.2 KiB'],
    [1_610_612_736, '1.50 GiB'],
    [1024 ** 3 - 1, '1.00 GiB'],
    [99.96 * 1024, '100 KiB'],
  ])('shows %i bytes as %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it('shows rates', () => {
    expect(formatByteRate(0)).toBe('no limit');
    expect(formatByteRate(104_857_600)).toBe('100 MiB/s');
  });

  it.each([
    [0, '0 ms'],
    [850, '850 ms'],
    [999.7, '1.0 s'],
    [4_230, '4.2 s'],
    [59_990, '1 m'],
    [200_000, '3 m 20 s'],
    [3_599_900, '1 h'],
    [7_500_000, '2 h 5 m'],
    [86_399_000, '1 d'],
    [273_600_000, '3 d 4 h'],
  ])('shows %f ms as %s', (ms, text) => expect(formatDuration(ms)).toBe(text));

  it('shows sizes that read back within rounding, for any size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (bytes) => {
        const shown = parseBytes(formatBytes(bytes));
        expect(Math.abs(shown - bytes)).toBeLessThanOrEqual(bytes * 0.006);
      }),
    );
  });
});
