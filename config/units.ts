import { permanent } from '../domain/errors.ts';

const kibi = 1024;
const bytesIn: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: kibi,
  MiB: kibi ** 2,
  GiB: kibi ** 3,
  TiB: kibi ** 4,
};
/** Networks are bought in bits. */
const bytesPerBitUnit: Readonly<Record<string, number>> = {
  'kbit/s': 125,
  'Mbit/s': 125e3,
  'Gbit/s': 125e6,
};
const msIn: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 };

const byteForm =
  'a size: a whole number of bytes, or a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB';
/** What a rate looks like, for messages. */
export const byteRateForm =
  'a rate: a size with /s (100MiB/s), or a number with kbit/s, Mbit/s or Gbit/s; 0 for no limit';
const durationForm = 'a duration: a number with ms, s, m, h or d';

/** `1GiB`, `1.5 GiB`, `4096` -> whole bytes below 2^53. Throws `size-invalid`. */
export function parseBytes(text: string): number {
  const value = tryParseBytes(text);
  if (value === undefined)
    throw invalid('size-invalid', { text, form: byteForm, example: '512MiB' });
  return value;
}

/** `100MiB/s`, `1Gbit/s`, `0` -> whole bytes a second; 0 is no limit. Throws `rate-invalid`. */
export function parseByteRate(text: string): number {
  const value = tryParseByteRate(text);
  if (value === undefined)
    throw invalid('rate-invalid', { text, form: byteRateForm, example: '100MiB/s' });
  return value;
}

/** `250ms`, `30s`, `5m`, `1.5h` -> whole milliseconds. Throws `duration-invalid`. */
export function parseDurationMs(text: string): number {
  const value = tryParseDurationMs(text);
  if (value === undefined)
    throw invalid('duration-invalid', { text, form: durationForm, example: '30s' });
  return value;
}

const tryParseBytes = (text: string): number | undefined => measure(text, { ...bytesIn, '': 1 });

/** Like `parseByteRate`, undefined if it is none. */
export function tryParseByteRate(text: string): number | undefined {
  if (/^\s*0+\s*$/.test(text)) return 0;
  const perSecond = Object.entries(bytesIn).map(([unit, bytes]) => [`${unit}/s`, bytes] as const);
  const value = measure(text, { ...Object.fromEntries(perSecond), ...bytesPerBitUnit });
  // Less than a byte a second would round to 0, which means the opposite.
  return value === 0 && /[1-9]/.test(text) ? undefined : value;
}

const tryParseDurationMs = (text: string): number | undefined => measure(text, msIn);

function measure(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,9})?) ?([A-Za-z/]*)$/.exec(text.trim());
  const [, digits = '', unit = ''] = match ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (match === null || factor === undefined) return undefined;
  if (factor === 1 && digits.includes('.')) return undefined;
  const value = Math.round(Number(digits) * factor);
  return Number.isSafeInteger(value) ? value : undefined;
}

const invalid = (
  code: string,
  { text, form, example }: { text: string; form: string; example: string },
) =>
  permanent({
    code,
    message: `${JSON.stringify(text.slice(0, 60))} is not ${form}`,
    remedy: `Write it as in ${example}.`,
  });

/** `1.5 GiB`, `512 B`: three significant digits, for people. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let index = 0;
  // 1,023.5 and more would round to `1024 MiB`.
  while (value >= 1023.5 && index < units.length - 1) {
    value /= kibi;
    index += 1;
  }
  return `${digits(value, index === 0)} ${units[index] ?? 'B'}`;
}

/** `98.3 MiB/s`; 0 is `no limit`. */
export const formatByteRate = (bytesPerSecond: number): string =>
  bytesPerSecond === 0 ? 'no limit' : `${formatBytes(bytesPerSecond)}/s`;

const digits = (value: number, whole: boolean): string =>
  whole || value >= 99.95 ? String(Math.round(value)) : value.toFixed(value >= 9.995 ? 1 : 2);

/** `850 ms`, `4.2 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`: two units at most, for people. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 999.5) return `${Math.round(durationMs)} ms`;
  if (durationMs < 59_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 3600) return pair([Math.floor(seconds / 60), 'm'], [seconds % 60, 's']);
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair([Math.floor(minutes / 60), 'h'], [minutes % 60, 'm']);
  const hours = Math.round(minutes / 60);
  return pair([Math.floor(hours / 24), 'd'], [hours % 24, 'h']);
}

type Part = readonly [number, string];
const pair = ([big, bigUnit]: Part, [small, smallUnit]: Part): string =>
  small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
