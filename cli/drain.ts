/** Follows a drain on the screen to its end, prints its report and sets the exit code. */
import { isUnderWay } from '../domain/drain/board.ts';
import { DrainState, isDrained } from '../domain/drain/drain.ts';
import type { DrainLine, DrainReport } from '../domain/drain/drain.ts';
import { ExitCode, exitCodeOfSignal } from './exit-code.ts';
import type { DrainStatus, FerryDrain } from './ferry.ts';
import { canDrawLive } from './follow.ts';
import { LiveView } from './live-view.ts';
import { drainFrame, drainLine, drainReportLines } from './render/drain.ts';
import { shellWord } from './render/text.ts';
import { viewFor } from './render/theme.ts';
import type { Session } from './session.ts';

interface Display {
  show(status: DrainStatus): void;
  close(): void;
}

function liveDisplay(session: Session): Display {
  const { terminal } = session;
  const live = new LiveView(terminal.out);
  const footer = 'Ctrl-C leaves this view; the drain goes on.';
  return {
    show: (status) => {
      const { columns, rows = 24 } = terminal.out;
      // The width is asked for at each drawing: windows change their size.
      const { width } = viewFor({ ...terminal.out, columns, env: terminal.env });
      const view = { ...session.view, width };
      const lines = drainFrame(status, view, { now: terminal.now(), rows: rows - 3 });
      live.draw([...lines, '', view.theme.paint('dim', footer)]);
    },
    close: () => live.end({ erase: true }),
  };
}

/** A line for each VM whose state is another than before. */
function plainDisplay(session: Session): Display {
  const shown = new Map<string, string>();
  return {
    show: ({ report }) => {
      for (const line of report.vms) {
        if (shown.get(line.uuid) === markOf(line)) continue;
        shown.set(line.uuid, markOf(line));
        session.print([drainLine(line)]);
      }
    },
    close: () => undefined,
  };
}

const markOf = ({ state, to, why }: DrainLine): string =>
  JSON.stringify([state, to, isUnderWay({ state }) ? '' : why]);

const silent: Display = { show: () => undefined, close: () => undefined };

function displayFor(session: Session): Display {
  if (session.output === 'json') return silent;
  return canDrawLive(session.terminal) ? liveDisplay(session) : plainDisplay(session);
}

/** The exit code of a drain that is over: 0 only if no VM of the host is left on it. */
function exitCodeOfDrain(report: DrainReport): ExitCode {
  if (report.phase === 'cancelled') return ExitCode.cancelled;
  if (isDrained(report)) return ExitCode.done;
  return report.vms.some(({ state }) => state === DrainState.parked)
    ? ExitCode.parked
    : ExitCode.failed;
}

/** Until it ends, or a person leaves by Ctrl-C. Rejects with what the client rejects with. */
export async function accompanyDrain(session: Session, drain: FerryDrain): Promise<void> {
  const { terminal } = session;
  const stop = new AbortController();
  const left = Promise.withResolvers<NodeJS.Signals>();
  const stopListening = terminal.onInterrupt(left.resolve);
  const display = displayFor(session);
  let last: DrainStatus | undefined;
  const pump = async (): Promise<undefined> => {
    for await (const status of drain.watch({ signal: stop.signal })) {
      last = status;
      display.show(status);
    }
    return undefined;
  };
  try {
    const signal = await Promise.race([pump(), left.promise]);
    display.close();
    if (signal !== undefined) {
      sayLeft(session, drain.host);
      session.exitCode = exitCodeOfSignal(signal);
      return;
    }
  } finally {
    stopListening();
    stop.abort();
    display.close();
  }
  const { report } = last ?? (await drain.status());
  if (session.output === 'json') session.printJson(report);
  else session.print(drainReportLines(report, session.view));
  session.exitCode = exitCodeOfDrain(report);
}

function sayLeft(session: Session, host: string): void {
  const { theme, command } = session.errorView;
  const word = shellWord(host);
  session.remark([
    '',
    `${theme.paint('bold', 'Detached.')} The drain of ${word} goes on without this window.`,
    `  follow   ${command} drain ${word}`,
    `  cancel   ${command} drain ${word} --cancel`,
  ]);
}
