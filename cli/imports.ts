/** Follows imports on the screen to where they rest, prints their reports and sets the exit code. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isImportEnd } from '../domain/import.ts';
import type { ImportPhase, ImportReport, ImportStatus } from '../domain/import.ts';
import type { Fault } from '../domain/errors.ts';
import { ExitCode, exitCodeOfFault, exitCodeOfSignal } from './exit-code.ts';
import type { FerryImport } from './ferry.ts';
import { canDrawLive } from './follow.ts';
import { ImportMemory } from './import-memory.ts';
import { LiveView } from './live-view.ts';
import {
  importFrame,
  importLine,
  importReportLines,
  importsFrame,
  importsTable,
} from './render/import.ts';
import type { ShownImport } from './render/import.ts';
import { exitCodeOfAll, exitCodeOfImport, importWord } from './render/import-words.ts';
import { shellWord } from './render/text.ts';
import { viewFor } from './render/theme.ts';
import type { Session } from './session.ts';

/** An import that is followed, or one that could not begin. */
export interface Followable {
  id: string;
  name: string;
  import?: FerryImport;
  fault?: Fault;
}

export interface FollowWishes {
  /** The report from before an order: a rest that still looks like it is not the answer to the order. */
  before?: ImportReport;
  /** The end that was ordered: it counts as done. */
  wished?: ImportPhase;
  json?: 'last' | 'lines';
}

const drawEveryMs = 125;
const lookEveryMs = 500;
/** Fifty imports are not asked twice a second. */
const lookAtManyEveryMs = 2000;
const many = 10;
/** How long a status from before an order may still be seen after the server accepted it. */
const staleForMs = 10_000;
const lookAgainMs = 250;

const rests = ({ phase }: ImportReport): boolean =>
  isImportEnd(phase) || phase === 'awaiting-commit' || phase === 'parked';

interface Following {
  show: () => void;
  /** Whether a report is that from before an order. */
  isStale: (report: ImportReport) => boolean;
  everyMs: number;
  signal: AbortSignal;
}

class Watched {
  readonly asked: Followable;
  readonly #memory = new ImportMemory();
  status: ImportStatus | undefined;
  #isResting: boolean;

  constructor(asked: Followable) {
    this.asked = asked;
    this.#isResting = asked.import === undefined;
  }

  /** Tells `show` of each status until it rests, or `signal` fires. Rejects with what the client rejects with. */
  async follow({ show, isStale, everyMs, signal }: Following): Promise<void> {
    const { import: one } = this.asked;
    while (one !== undefined && !this.#isResting && !signal.aborted) {
      for await (const status of one.watch({ signal, everyMs })) {
        this.status = this.#memory.next(status);
        this.#isResting = rests(status.report) && !isStale(status.report);
        show();
      }
      // A watch ends where an import rests, also if that is the rest from before the order: look again for a while.
      if (!this.#isResting) await delay(lookAgainMs, signal);
    }
  }

  /** As people call it; its ID where nobody has told yet. */
  get name(): string {
    const { id, name } = this.asked;
    return name === id ? (this.status?.report.foreign.name ?? name) : name;
  }

  get shown(): ShownImport {
    const { id, fault } = this.asked;
    const { name } = this;
    return {
      ...{ id, name },
      ...(this.status === undefined ? {} : { status: this.status }),
      ...(fault === undefined ? {} : { trouble: fault.message }),
    };
  }

  get code(): ExitCode {
    if (this.asked.fault !== undefined) return exitCodeOfFault(this.asked.fault);
    return this.status === undefined ? ExitCode.failed : exitCodeOfImport(this.status.report);
  }
}

const delay = async (ms: number, signal: AbortSignal): Promise<void> => {
  // An abort ends the wait early; whoever waits looks at the signal.
  await sleep(ms, undefined, { signal }).catch(() => undefined);
};

interface Display {
  show(): void;
  close(): void;
}

function liveDisplay(session: Session, watched: readonly Watched[]): Display {
  const { terminal } = session;
  const live = new LiveView(terminal.out);
  const footer =
    watched.length === 1
      ? 'Ctrl-C leaves this view; the import goes on.'
      : 'Ctrl-C leaves this view; the imports go on.';
  let tick = 0;
  const draw = (): void => {
    const { columns, rows = 24 } = terminal.out;
    // The width is asked for at each drawing: windows change their size.
    const { width } = viewFor({ ...terminal.out, columns, env: terminal.env });
    const view = { ...session.view, width };
    const moment = { now: terminal.now(), rows: rows - 3, tick };
    const [only] = watched;
    const lines =
      watched.length === 1 && only?.status !== undefined
        ? importFrame(only.status, view, moment)
        : importsFrame(
            watched.map(({ shown }) => shown),
            view,
            moment,
          );
    live.draw([...lines, '', view.theme.paint('dim', footer)]);
    tick += 1;
  };
  const timer = setInterval(draw, drawEveryMs);
  let isOpen = true;
  return {
    show: draw,
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      clearInterval(timer);
      live.end({ erase: true });
    },
  };
}

const progressEveryMs = 5000;

/** A line for each change of phase or trouble, and one of progress at most every 5 s. */
function plainDisplay(session: Session, watched: readonly Watched[]): Display {
  const said = new Map<string, { mark: string; at: number }>();
  return {
    show: () => {
      const now = session.terminal.now();
      for (const { status, asked, name } of watched) {
        if (status === undefined) continue;
        const { phase, fault, steps } = status.report;
        const attempts = steps.reduce((sum, step) => sum + step.attempts, 0);
        const mark = JSON.stringify([phase, fault?.code, attempts, status.conversion?.stage]);
        const before = said.get(asked.id);
        const isProgress =
          status.progress.length > 0 && now - (before?.at ?? now) >= progressEveryMs;
        if (before?.mark === mark && !isProgress) continue;
        said.set(asked.id, { mark, at: now });
        session.print([importLine(name, status, now)]);
      }
    },
    close: () => undefined,
  };
}

function jsonLines(session: Session, watched: readonly Watched[]): Display {
  return {
    show: () => {
      for (const { status } of watched)
        if (status !== undefined) session.terminal.out.write(`${JSON.stringify(status)}\n`);
    },
    close: () => undefined,
  };
}

function displayFor(
  session: Session,
  watched: readonly Watched[],
  json: FollowWishes['json'],
): Display {
  if (session.output === 'json')
    return json === 'lines'
      ? jsonLines(session, watched)
      : { show: () => undefined, close: () => undefined };
  return canDrawLive(session.terminal)
    ? liveDisplay(session, watched)
    : plainDisplay(session, watched);
}

/** Until all rest, or a person leaves by Ctrl-C. Rejects with what the client rejects with. */
async function followAll(
  session: Session,
  watched: readonly Watched[],
  { before, json }: FollowWishes,
): Promise<NodeJS.Signals | undefined> {
  const { terminal } = session;
  const stop = new AbortController();
  const left = Promise.withResolvers<NodeJS.Signals>();
  const stopListening = terminal.onInterrupt(left.resolve);
  const display = displayFor(session, watched, json);
  const stale = before === undefined ? undefined : JSON.stringify(before);
  const staleUntil = terminal.now() + staleForMs;
  const isStale = (report: ImportReport): boolean =>
    stale !== undefined && terminal.now() < staleUntil && JSON.stringify(report) === stale;
  const everyMs = watched.length > many ? lookAtManyEveryMs : lookEveryMs;
  const following = { show: () => display.show(), isStale, everyMs, signal: stop.signal };
  const pumping = Promise.all(watched.map((one) => one.follow(following))).then(() => undefined);
  // Once a person has left, the end of the watch (an abort) changes nothing.
  pumping.catch(() => undefined);
  try {
    return await Promise.race([pumping, left.promise]);
  } finally {
    stopListening();
    stop.abort();
    display.close();
  }
}

function sayLeft(session: Session, asked: readonly Followable[]): void {
  const { theme, command } = session.errorView;
  const [only, ...others] = asked;
  const word = only === undefined || others.length > 0 ? '' : ` ${shellWord(only.id)} --watch`;
  const what = others.length === 0 ? 'The import goes' : 'The imports go';
  session.remark([
    '',
    `${theme.paint('bold', 'Detached.')} ${what} on without this window.`,
    `  follow   ${command} status${word}`,
  ]);
}

/** One import to where it rests, as `accompany` does with a move. */
export async function accompanyImport(
  session: Session,
  one: FerryImport,
  wishes: FollowWishes = {},
): Promise<void> {
  const watched = new Watched({ id: one.id, name: one.id, import: one });
  const signal = await followAll(session, [watched], wishes);
  if (signal !== undefined) {
    sayLeft(session, [watched.asked]);
    session.exitCode = exitCodeOfSignal(signal);
    return;
  }
  const { report } = watched.status ?? (await one.status());
  const isWished = report.phase === wishes.wished;
  session.exitCode = isWished ? ExitCode.done : exitCodeOfImport(report);
  if (session.output === 'json') {
    if (wishes.json !== 'lines') session.printJson(report);
    return;
  }
  session.print(['', ...importReportLines(report, session.view, session.terminal.now())]);
}

/** All imports of one request. */
export async function accompanyImports(
  session: Session,
  asked: readonly Followable[],
): Promise<void> {
  const watched = asked.map((one) => new Watched(one));
  const signal = await followAll(session, watched, {});
  if (signal !== undefined) {
    sayLeft(session, asked);
    session.exitCode = exitCodeOfSignal(signal);
    return;
  }
  session.exitCode = exitCodeOfAll(watched.map(({ code }) => code));
  if (session.output === 'json') {
    session.printJson({ imports: watched.map(outcomeOf) });
    return;
  }
  const { view } = session;
  const now = session.terminal.now();
  const [only] = watched;
  if (watched.length === 1 && only?.status !== undefined) {
    session.print(['', ...importReportLines(only.status.report, view, now)]);
    return;
  }
  session.print([
    '',
    ...importsTable(
      watched.map(({ shown }) => shown),
      view,
      now,
    ),
    '',
    ...nextOfAll(session, watched),
  ]);
}

/** As `-o json` has it. */
const outcomeOf = ({ asked, status }: Watched) => ({
  ...{ id: asked.id, name: asked.name },
  ...(status === undefined ? {} : { report: status.report }),
  ...(asked.fault === undefined ? {} : { fault: asked.fault }),
});

function nextOfAll(session: Session, watched: readonly Watched[]): string[] {
  const { command } = session.view;
  const waiting = watched.filter(({ status }) => status?.report.phase === 'awaiting-commit');
  const other = watched.filter(({ code }) => code !== ExitCode.done);
  const word = ({ status, asked }: Watched): string =>
    status === undefined ? shellWord(asked.id) : importWord(status.report);
  return [
    ...waiting.map((one) => `  ${command} commit ${word(one)}`),
    ...other
      .filter(({ status }) => status !== undefined)
      .map((one) => `  ${command} status ${word(one)}`),
  ];
}
