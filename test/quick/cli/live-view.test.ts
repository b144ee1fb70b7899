import { describe, expect, it } from 'vitest';
import { LiveView } from '../../../cli/live-view.ts';
import type { Screen } from '../../../cli/terminal.ts';

const escapeOrCharacter = new RegExp(
  `${String.fromCharCode(27)}\\[(\\??\\d*)([A-Za-z])|([\\s\\S])`,
  'gu',
);

/** As much of a terminal as the view uses: rows that scroll, cursor up, erase; wraps as real ones do. */
class Emulator implements Screen {
  readonly isTTY = true;
  columns: number;
  readonly rows = 24;
  lines = ['$ vmferry'];
  written = '';
  #row = 1;
  #column = 0;
  #resized: () => void = () => undefined;

  constructor(columns: number) {
    this.columns = columns;
  }

  write(text: string): void {
    this.written += text;
    const tokens = text.matchAll(escapeOrCharacter);
    for (const [, argument = '', code, character] of tokens) {
      if (code === 'A') this.#row = Math.max(0, this.#row - Number(argument || 1));
      else if (code === 'K') this.#set(this.#line().slice(0, this.#column));
      else if (code === 'J') {
        this.lines.length = Math.min(this.lines.length, this.#row);
      } else if (character === '\n') {
        this.#row += 1;
        this.#column = 0;
        this.#line();
      } else if (character === '\r') this.#column = 0;
      else if (character !== undefined) this.#put(character);
    }
  }

  onResize(listener: () => void): () => void {
    this.#resized = listener;
    return () => (this.#resized = () => undefined);
  }

  /** Narrower: rows break in two, as most terminals do. */
  resize(columns: number): void {
    this.columns = columns;
    this.lines = this.lines.flatMap((line) =>
      line === '' ? [''] : (line.match(new RegExp(`.{1,${columns}}`, 'gu')) ?? []),
    );
    this.#row = this.lines.length - 1;
    this.#resized();
  }

  #line(): string {
    while (this.lines.length <= this.#row) this.lines.push('');
    return this.lines[this.#row]!;
  }
  #set(line: string): void {
    this.#line();
    this.lines[this.#row] = line;
  }
  #put(character: string): void {
    if (this.#column >= this.columns) {
      this.#row += 1;
      this.#column = 0;
    }
    const line = this.#line().padEnd(this.#column);
    this.#set(line.slice(0, this.#column) + character + line.slice(this.#column + 1));
    this.#column += 1;
  }
}

const shown = (screen: Emulator): string[] =>
  screen.lines.filter((line, row) => line !== '' || row < screen.lines.length - 1);

describe('the live view', () => {
  it('draws again in place, whatever grows, shrinks or changes', () => {
    const screen = new Emulator(40);
    const view = new LiveView(screen);
    for (const lines of [
      ['a', 'b'],
      ['a', 'B', 'c'],
      ['A'],
      [],
      ['x', 'y'],
      ['x', 'y longer'],
      ['x', 'y'],
    ]) {
      view.draw(lines);
      expect(shown(screen)).toEqual(['$ vmferry', ...lines]);
    }
  });

  it('writes nothing where nothing changed, and only the lines that did', () => {
    const screen = new Emulator(40);
    const view = new LiveView(screen);
    view.draw(['first', 'second', 'third']);
    screen.written = '';
    view.draw(['first', 'second', 'third']);
    expect(screen.written).toBe('');
    view.draw(['first', 'SECOND', 'third']);
    expect(screen.written).toContain('SECOND');
    expect(screen.written).not.toMatch(/first|third/u);
  });

  it('finds its place again after the window became narrower', () => {
    const screen = new Emulator(40);
    const view = new LiveView(screen);
    view.draw(['a line of thirty cells ........', 'short']);
    screen.resize(20);
    view.draw(['now it is short', 'short']);
    expect(shown(screen)).toEqual(['$ vmferry', 'now it is short', 'short']);
  });

  it('goes away without a trace if it is erased', () => {
    const screen = new Emulator(40);
    const view = new LiveView(screen);
    view.draw(['Looking for web-1 …']);
    view.end({ erase: true });
    view.end({ erase: true });
    screen.write('done\n');
    expect(shown(screen)).toEqual(['$ vmferry', 'done']);
  });
});
