/** Options that several commands share, and how their values are read. */
import { InvalidArgumentError, Option } from 'commander';
import { parseByteRate, parseDurationMs } from '../config/units.ts';
import { VmFerryError } from '../domain/errors.ts';

const formats = ['text', 'json'];

/** `-o, --output text|json`. `table`, the name of `text` in 0.1, still works. */
export const outputOption = (): Option =>
  new Option('-o, --output <format>', 'how to print the result')
    .choices(formats)
    .argParser((value) => {
      if (value === 'table') return 'text';
      if (formats.includes(value)) return value;
      throw new InvalidArgumentError(`Allowed choices are ${formats.join(', ')}.`);
    })
    .default('text');

/** Whether a command line asks for JSON, before it is parsed: an error in it is to be said as JSON too. */
export const asksForJson = (args: readonly string[]): boolean => {
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  return own.some(
    (arg, index) =>
      arg === '-ojson' ||
      arg === '--output=json' ||
      (arg === 'json' && ['-o', '--output'].includes(own[index - 1] ?? '')),
  );
};

function reading<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof VmFerryError)) throw error;
      throw new InvalidArgumentError(`${error.message}. ${error.remedy}`);
    }
  };
}

/** `100MiB/s` to bytes a second; 0 is no limit. */
export const readRate = reading(parseByteRate);

/** `2m` to ms. */
export const readDuration = reading(parseDurationMs);

/** For options that may be given several times. */
export const collect = (value: string, previous: readonly string[]): string[] => [
  ...previous,
  value,
];

/** A number with its unit, or a bare one in the unit that the option names; for commander. */
const readBare =
  (unit: 'ms' | 's') =>
  (text: string): number =>
    readDuration(/^\s*[\d.]+\s*$/.test(text) ? `${text.trim()}${unit}` : text);

/** `300` or `300ms` or `2s` to ms. */
export const readMilliseconds = readBare('ms');

/** `30` or `30s` or `2m` to ms. */
export const readSeconds = readBare('s');

/** A whole number of at least 1. */
export function readCount(text: string): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value >= 1) return value;
  throw new InvalidArgumentError('Expected a whole number of at least 1.');
}
