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
