/** Text for a terminal: its width in cells, cut, padded, wrapped and made harmless. */

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const ansi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'gu');
const plainAscii = /^[\x20-\x7e]*$/u;
// East Asian wide and fullwidth blocks, and emoji shown as pictures: two cells each.
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}/u;

/** Cells that `text` takes on a terminal; colour codes take none. */
export function cells(text: string): number {
  const bare = text.replace(ansi, '');
  if (plainAscii.test(bare)) return bare.length;
  let count = 0;
  for (const { segment } of segmenter.segment(bare)) count += wide.test(segment) ? 2 : 1;
  return count;
}

/** Cuts `text` (without colour codes) to `width` cells; the last one is an ellipsis where something is lost. */
export function cut(text: string, width: number): string {
  if (cells(text) <= width) return text;
  if (width < 1) return '';
  let kept = '';
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    const next = wide.test(segment) ? 2 : 1;
    if (used + next > width - 1) break;
    kept += segment;
    used += next;
  }
  return `${kept.trimEnd()}…`;
}

export const padEnd = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - cells(text)));

export const padStart = (text: string, width: number): string =>
  ' '.repeat(Math.max(0, width - cells(text))) + text;

// `47.9 GiB`, `3 s`: a figure and its unit stay together.
const beforeUnit = /(?<=\d) (?=(?:[KMGT]i?)?B\b|(?:ms|s|m|h|d)\b)/gu;

/** Breaks `text` at spaces into lines of at most `width` cells; a longer word keeps a line of its own, uncut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const piece of text.replace(beforeUnit, '\u00a0').split(' ')) {
    const word = piece.replaceAll('\u00a0', ' ');
    if (line !== '' && cells(line) + 1 + cells(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}

// Controls, DEL, C1, line separators and the marks that turn the direction of text.
const harmful = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * One harmless line: names and messages come from hypervisors and guests' definitions, and must not be able
 * to move the cursor, change the title or forge another line.
 */
export const harmless = (text: string): string =>
  text
    .replace(/[\t\r\n]+/gu, ' ')
    .replace(harmful, (mark) => `\\u${mark.codePointAt(0)?.toString(16).padStart(4, '0') ?? ''}`);

/** A word as a POSIX shell takes it, for commands that people paste. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
