/** Numbers and units of an OVF: `byte * 2^30` (DSP0004), and the words that older exporters write. */

const words: Readonly<Record<string, number>> = {
  byte: 1,
  bytes: 1,
  kb: 1024,
  kilobytes: 1024,
  kib: 1024,
  mb: 1024 ** 2,
  megabytes: 1024 ** 2,
  mib: 1024 ** 2,
  gb: 1024 ** 3,
  gigabytes: 1024 ** 3,
  gib: 1024 ** 3,
  tb: 1024 ** 4,
  terabytes: 1024 ** 4,
  tib: 1024 ** 4,
};

/** Bytes of one unit; undefined if it is none. The prefixes are powers of two in OVFs, whatever their name says. */
export function unitBytes(text: string): number | undefined {
  const [, word = '', base = '', exponent = '', plain = ''] =
    /^\s*([a-z]+)\s*(?:\*\s*(?:(2|10)\s*\^\s*(\d{1,2})|(\d{1,15})))?\s*$/i.exec(text) ?? [];
  const one = words[word.toLowerCase()];
  if (one === undefined) return undefined;
  const factor = base !== '' ? Number(base) ** Number(exponent) : plain !== '' ? Number(plain) : 1;
  const bytes = one * factor;
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** A whole number below 2^53; undefined if it is none. */
export function wholeNumber(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** So many units, in bytes; undefined if one of the two is none, or it is more than 2^53. */
export function bytesOf(quantity: string, unit: string): number | undefined {
  const [number, one] = [wholeNumber(quantity), unitBytes(unit)];
  const bytes = number === undefined || one === undefined ? NaN : number * one;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
