import { createInterface } from 'node:readline/promises';
import type { Readable } from 'node:stream';

/** The outside of the process, as the command line sees it; tests hand in their own. */
export interface Screen {
  isTTY: boolean;
  /** Cells in a line and lines on the screen; undefined where there is no terminal. */
  readonly columns: number | undefined;
  readonly rows: number | undefined;
  write(text: string): void;
  /** Calls `listener` when the size changes; gives back how to stop. */
  onResize(listener: () => void): () => void;
}

export interface Terminal {
  out: Screen;
  err: Screen;
  /** Asks a person, on `err`, and gives the line typed; absent where nobody sits before it. */
  ask?: (question: string) => Promise<string>;
  /** What is piped in; undefined where a person types. Read once. */
  input(): Readable | undefined;
  env: Readonly<Record<string, string | undefined>>;
  /** ms since the epoch. */
  now(): number;
  /** Calls `listener` at the first Ctrl-C, hang-up or SIGTERM; a second one ends the process at once. */
  onInterrupt(listener: (signal: NodeJS.Signals) => void): () => void;
}

const interrupts = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function screenOf(stream: NodeJS.WriteStream): Screen {
  return {
    isTTY: stream.isTTY,
    get columns() {
      return stream.isTTY ? stream.columns : undefined;
    },
    get rows() {
      return stream.isTTY ? stream.rows : undefined;
    },
    write: (text) => {
      stream.write(text);
    },
    onResize: (listener) => {
      stream.on('resize', listener);
      return () => stream.off('resize', listener);
    },
  };
}

/** An end of the input counts as an empty line. */
async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return await Promise.race([lines.question(question), ended]);
  } finally {
    lines.close();
  }
}

/** The terminal of this process. A reader that goes away (`| head`) ends it quietly, as Unix tools do. */
export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(0);
    });
  }
  return {
    out: screenOf(process.stdout),
    err: screenOf(process.stderr),
    ...(process.stdin.isTTY && process.stderr.isTTY ? { ask } : {}),
    input: () => (process.stdin.isTTY ? undefined : process.stdin),
    env: process.env,
    now: Date.now,
    onInterrupt: (listener) => {
      const stop = (): void => {
        for (const signal of interrupts) process.off(signal, handle);
      };
      const handle = (signal: NodeJS.Signals): void => {
        stop();
        listener(signal);
      };
      for (const signal of interrupts) process.on(signal, handle);
      return stop;
    },
  };
}
