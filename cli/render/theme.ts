import { styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const unicode = {
  done: '✓',
  failed: '✗',
  waiting: '·',
  skipped: '–',
  parked: '!',
  arrow: '→',
  bullet: '·',
  barFull: '━',
  barEmpty: '─',
  spinner: ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
};

const ascii: typeof unicode = {
  done: '+',
  failed: 'x',
  waiting: '.',
  skipped: '-',
  parked: '!',
  arrow: '->',
  bullet: '-',
  barFull: '#',
  barEmpty: '-',
  spinner: ['|', '/', '-', '\\'],
};

/** Signs and colours of the output. */
export interface Theme {
  glyphs: typeof unicode;
  paint: (style: Style | readonly Style[], text: string) => string;
}

export interface ThemeOptions {
  color: boolean;
  ascii: boolean;
}

/** A theme; `paint` gives the text back unchanged if colour is off. */
export const makeTheme = (options: ThemeOptions): Theme => ({
  glyphs: options.ascii ? ascii : unicode,
  paint: (style, text) =>
    options.color && text !== ''
      ? styleText(typeof style === 'string' ? style : [...style], text, { validateStream: false })
      : text,
});

/** What a pure renderer needs to know of the place it writes for. */
export interface View {
  theme: Theme;
  /** Cells a line may take; `Infinity` where nobody looks at a screen (pipes, files). */
  width: number;
  /** How the person called vmferry, for the commands that are suggested: `vmferry --config lab.yaml`. */
  command: string;
}

export interface Surroundings {
  isTTY: boolean;
  columns: number | undefined;
  env: Readonly<Record<string, string | undefined>>;
}

/** NO_COLOR (no-color.org), FORCE_COLOR, TERM and the locale decide about colours and signs. */
export function viewFor(place: Surroundings, command = 'vmferry'): View {
  const { env, isTTY } = place;
  const dumb = env['TERM'] === 'dumb';
  const forced = env['FORCE_COLOR'] !== undefined && !['', '0'].includes(env['FORCE_COLOR']);
  const refused = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  const locale = env['LC_ALL'] ?? env['LC_CTYPE'] ?? env['LANG'] ?? '';
  const color = !refused && (forced || (isTTY && !dumb));
  // The last cell stays free: some terminals wrap as soon as it is written.
  const width = isTTY ? Math.max(40, (place.columns ?? 80) - 1) : Infinity;
  const poor = env['TERM'] === 'linux' || /^(C|POSIX)$/u.test(locale);
  return { theme: makeTheme({ color, ascii: poor }), width, command };
}
