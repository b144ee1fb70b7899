import { setTimeout as sleep } from 'node:timers/promises';
import { isEnd } from '../domain/move.ts';
import type { MoveReport } from '../domain/move.ts';
import type { FerryMove, MoveStatus } from './ferry.ts';
import { LiveView } from './live-view.ts';
import { ProgressMemory } from './progress-memory.ts';
import { frameLines } from './render/frame.ts';
import { PlainLog } from './render/plain.ts';
import type { View } from './render/theme.ts';
import { viewFor } from './render/theme.ts';
import type { Terminal } from './terminal.ts';

/** Drawings a second while a move runs: the spinner turns calmly, the link stays quiet. */
const drawEveryMs = 125;
/** How long a status from before an order may still be seen after the server accepted it. */
const staleForMs = 10_000;
const lookAgainMs = 250;
/** On fewer cells a line each says more than a picture. */
const narrowest = 40;

export type Style = 'live' | 'plain' | 'silent' | 'json-lines';

export interface FollowOptions {
  move: FerryMove;
  terminal: Terminal;
  view: View;
  style: Style;
  /** The report from before an order: a rest that still looks like it is not the answer to the order. */
  before?: MoveReport;
  /** The line under the live view. */
  footer?: string;
}

export type Followed =
  | { kind: 'rest'; status: MoveStatus }
  | { kind: 'detached'; signal: NodeJS.Signals; status: MoveStatus | undefined };

/** Whether the terminal can show a view that moves. */
export const canDrawLive = (terminal: Terminal): boolean =>
  terminal.out.isTTY &&
  (terminal.out.columns ?? 80) > narrowest &&
  terminal.env['TERM'] !== 'dumb' &&
  (terminal.env['CI'] ?? '') === '';

interface Display {
  show(status: MoveStatus): void;
  close(): void;
}

function liveDisplay(options: FollowOptions): Display {
  const { terminal } = options;
  const live = new LiveView(terminal.out);
  const memory = new ProgressMemory();
  let current: MoveStatus | undefined;
  let tick = 0;
  const draw = (moving: boolean): void => {
    if (current === undefined) return;
    // The width is asked for at each drawing: windows change their size.
    const { width } = viewFor({
      ...terminal.out,
      columns: terminal.out.columns,
      env: terminal.env,
    });
    const footer =
      moving && options.footer !== undefined
        ? ['', options.view.theme.paint('dim', options.footer)]
        : [];
    const rows = (terminal.out.rows ?? 24) - 1 - footer.length;
    const moment = { now: terminal.now(), rows, ...(moving ? { tick } : {}) };
    live.draw([...frameLines(current, { ...options.view, width }, moment), ...footer]);
    tick += 1;
  };
  const timer = setInterval(draw, drawEveryMs, true);
  return {
    show: (status) => {
      current = memory.next(status);
      draw(true);
    },
    close: () => {
      clearInterval(timer);
      draw(false);
      live.end();
    },
  };
}

function displayFor(options: FollowOptions): Display {
  const { terminal } = options;
  const close = (): void => undefined;
  switch (options.style) {
    case 'live':
      return liveDisplay(options);
    case 'plain': {
      const log = new PlainLog();
      const memory = new ProgressMemory();
      const show = (status: MoveStatus): void => {
        for (const line of log.next(memory.next(status), terminal.now()))
          terminal.out.write(`${line}\n`);
      };
      return { show, close };
    }
    case 'json-lines':
      return { show: (status) => terminal.out.write(`${JSON.stringify(status)}\n`), close };
    case 'silent':
      return { show: close, close };
  }
}

/** Nothing more happens by itself. */
const isRest = ({ phase }: MoveReport): boolean =>
  isEnd(phase) || phase === 'parked' || phase === 'awaiting-commit';

/**
 * Shows a move until it ends, parks or waits for a commit, or until a person detaches by Ctrl-C.
 * Rejects with what the client rejects with.
 */
export async function follow(options: FollowOptions): Promise<Followed> {
  const { move, terminal } = options;
  const outcome = Promise.withResolvers<Followed>();
  const stop = new AbortController();
  const stale = options.before === undefined ? undefined : JSON.stringify(options.before);
  const display = displayFor(options);
  let last: MoveStatus | undefined;

  const rest = (status: MoveStatus): void => outcome.resolve({ kind: 'rest', status });
  const see = (status: MoveStatus): void => {
    last = status;
    display.show(status);
    if (isRest(status.report) && JSON.stringify(status.report) !== stale) rest(status);
  };
  const pump = async (): Promise<void> => {
    const giveUpAt = terminal.now() + staleForMs;
    do {
      for await (const status of move.watch({ signal: stop.signal })) see(status);
      // A watch ends where a move rests, also if that is the rest from before the order: look again for a while.
      await delay(lookAgainMs, stop.signal);
    } while (!stop.signal.aborted && terminal.now() < giveUpAt);
    rest(last ?? (await move.status()));
  };

  const stopListening = terminal.onInterrupt((signal) => {
    outcome.resolve({ kind: 'detached', signal, status: last });
  });
  // Once there is an outcome, the end of the watch (an abort) changes nothing.
  pump().catch(outcome.reject);
  try {
    return await outcome.promise;
  } finally {
    stopListening();
    stop.abort();
    display.close();
  }
}

const delay = async (ms: number, signal: AbortSignal): Promise<void> => {
  // An abort ends the wait early; whoever waits looks at the signal.
  await sleep(ms, undefined, { signal }).catch(() => undefined);
};
