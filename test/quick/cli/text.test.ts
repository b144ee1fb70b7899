import { describe, expect, it } from 'vitest';
import { duration, moment, percent, wholeSeconds } from '../../../cli/render/quantity.ts';
import { table } from '../../../cli/render/table.ts';
import { cells, cut, harmless, padEnd, shellWord, wrap } from '../../../cli/render/text.ts';
import { makeTheme, viewFor } from '../../../cli/render/theme.ts';

describe('text', () => {
  it('counts cells and not code units', () => {
    expect(cells('web')).toBe(3);
    expect(cells('é')).toBe(1);
    expect(cells('e\u0301')).toBe(1);
    expect(cells('機械')).toBe(4);
    expect(cells('\u001b[1mbold\u001b[22m')).toBe(4);
  });

  it('cuts within the width, wide characters whole', () => {
    expect(cut('a long name', 6)).toBe('a lon…');
    expect(cut('機械機械', 5)).toBe('機械…');
    expect(cut('機械機械', 4)).toBe('機…');
    expect(cut('short', 5)).toBe('short');
    expect(cut('x', 0)).toBe('');
  });

  it('pads by cells', () => {
    expect(padEnd('機', 4)).toBe('機  ');
  });

  it('wraps at spaces and leaves a path whole', () => {
    expect(wrap('the file /a/very/long/path is full', 10)).toEqual([
      'the file',
      '/a/very/long/path',
      'is full',
    ]);
    expect(wrap('never wrapped without a screen', Infinity)).toHaveLength(1);
  });

  it('lets no control reach the terminal', () => {
    expect(harmless('a\u001b[2Jb\u009bc\u0007')).toBe(String.raw`a\u001b[2Jb\u009bc\u0007`);
    expect(harmless('one\r\ntwo')).toBe('one two');
    expect(harmless('\u202eexe.txt')).toBe(String.raw`\u202eexe.txt`);
  });

  it('quotes what a shell would take apart', () => {
    expect(shellWord('web-1')).toBe('web-1');
    expect(shellWord("it's; rm")).toBe(String.raw`'it'\''s; rm'`);
  });
});

describe('quantities', () => {
  it.each([
    [0, '0 ms'],
    [35.4, '35 ms'],
    [800, '0.8 s'],
    [59_949, '59.9 s'],
    [59_960, '1m 00s'],
    [92_000, '1m 32s'],
    [3_599_600, '1h 00m'],
    [7_500_000, '2h 05m'],
    [273_600_000, '3d 04h'],
    [-5, '0 ms'],
  ])('%d ms reads %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it('ticks in whole seconds', () => {
    expect(wholeSeconds(9_999)).toBe('9 s');
    expect(wholeSeconds(61_000)).toBe('1m 01s');
  });

  it('is at 100 % only with the last byte', () => {
    expect(percent(999_999_999, 1_000_000_000)).toBe(99);
    expect(percent(5, 5)).toBe(100);
    expect(percent(0, 0)).toBe(100);
  });

  it('says the time zone', () => {
    expect(moment('2026-03-04T10:00:00.250Z')).toBe('2026-03-04 10:00:00 UTC');
  });
});

describe('table', () => {
  const view = { theme: makeTheme({ color: false, ascii: false }), width: 24, command: 'vmferry' };

  it('aligns columns, and cuts only the elastic one', () => {
    const columns = [
      { title: 'VM', elastic: true },
      { title: 'Size', align: 'right' },
    ] as const;
    const rows = [
      [{ text: 'a-very-long-name-of-a-vm' }, { text: '9 GiB' }],
      [{ text: 'db' }, { text: '512 MiB' }],
    ];
    expect(table(columns, rows, view)).toEqual([
      'VM                  Size',
      'a-very-long-na…    9 GiB',
      'db               512 MiB',
    ]);
  });
});

describe('the view', () => {
  const at = (isTTY: boolean, env: Record<string, string>) => viewFor({ isTTY, columns: 80, env });
  const colored = (isTTY: boolean, env: Record<string, string>): boolean =>
    at(isTTY, env).theme.paint('red', 'x') !== 'x';

  it('has colours on a terminal, unless NO_COLOR or TERM=dumb forbid it', () => {
    expect(colored(true, {})).toBe(true);
    expect(colored(true, { NO_COLOR: '1' })).toBe(false);
    expect(colored(true, { NO_COLOR: '' })).toBe(true);
    expect(colored(true, { TERM: 'dumb' })).toBe(false);
    expect(colored(false, {})).toBe(false);
    expect(colored(false, { FORCE_COLOR: '1' })).toBe(true);
    expect(colored(false, { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false);
  });

  it('keeps off the last column of a terminal, and never wraps for a pipe', () => {
    expect(at(true, {}).width).toBe(79);
    expect(at(false, {}).width).toBe(Infinity);
  });

  it('draws with ASCII where the locale has nothing else', () => {
    expect(at(true, { LC_ALL: 'C' }).theme.glyphs.done).toBe('+');
    expect(at(true, { LANG: 'C.UTF-8' }).theme.glyphs.done).toBe('✓');
    expect(at(true, {}).theme.glyphs.done).toBe('✓');
  });
});
