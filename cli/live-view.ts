import type { Screen } from './terminal.ts';
import { cells } from './render/text.ts';

const up = (lines: number): string => (lines > 0 ? `\u001b[${lines}A` : '');
const eraseLineRight = '\u001b[K';
const eraseBelow = '\u001b[J';
// Synchronized output: terminals that know it show a drawing at once, the others ignore the mode.
const begin = '\u001b[?2026h';
const end = '\u001b[?2026l';

/**
 * A block of lines at the end of the output that is drawn again in place. Only lines that changed are
 * written, in one write: nothing flickers, and a slow link carries little. Lines must fit the screen.
 */
export class LiveView {
  readonly #screen: Screen;
  readonly #stopListening: () => void;
  #shown: string[] = [];
  #resized = false;

  constructor(screen: Screen) {
    this.#screen = screen;
    this.#stopListening = screen.onResize(() => {
      this.#resized = true;
    });
  }

  draw(lines: readonly string[]): void {
    const text = this.#resized ? this.#afterResize(lines) : this.#changes(lines);
    this.#resized = false;
    this.#shown = [...lines];
    if (text !== '') this.#screen.write(begin + text + end);
  }

  /** Leaves the last lines on the screen, or takes them away, and draws no more. */
  end(options: { erase?: boolean } = {}): void {
    this.#stopListening();
    if (options.erase === true && this.#shown.length > 0) {
      this.#screen.write(`${up(this.#shown.length)}\r${eraseBelow}`);
    }
    this.#shown = [];
  }

  #changes(lines: readonly string[]): string {
    const shown = this.#shown;
    const first = lines.findIndex((line, index) => line !== shown[index]);
    if (first === -1 && lines.length === shown.length) return '';
    const from = first === -1 ? lines.length : first;
    let text = up(shown.length - Math.min(from, shown.length));
    for (let index = from; index < lines.length; index += 1) {
      const line = lines[index] ?? '';
      text += line === shown[index] ? '\n' : `\r${line}${eraseLineRight}\n`;
    }
    return lines.length < shown.length ? text + eraseBelow : text;
  }

  /** The terminal may have wrapped what stood there: go up by what it takes now, and draw all anew. */
  #afterResize(lines: readonly string[]): string {
    const columns = this.#screen.columns ?? 80;
    const height = this.#shown.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(cells(line) / columns)),
      0,
    );
    const reachable = Math.min(height, (this.#screen.rows ?? 24) - 1);
    const block = lines.map((line) => `${line}${eraseLineRight}\n`).join('');
    return `${up(reachable)}\r${eraseBelow}${block}`;
  }
}
