/** Options that several commands share, and how their values are read. */
import { InvalidArgumentError, Option } from 'commander';
import { parseByteRate, parseDurationMs } from '../config/units.ts';
import { VmFerryError } from '../domain/errors.ts';

/** `-o, --output table|json`. */
export const outputOption = (): Option =>
  new Option('-o, --output <format>', 'how to print the result')
    .choices(['table', 'json'])
    .default('table');

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
