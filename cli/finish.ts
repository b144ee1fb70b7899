import type { MoveReport } from '../domain/move.ts';
import { ExitCode, exitCodeOf, exitCodeOfSignal } from './exit-code.ts';
import type { FerryMove, MoveStatus } from './ferry.ts';
import { canDrawLive, follow } from './follow.ts';
import type { Style } from './follow.ts';
import { moveWord } from './render/next-steps.ts';
import { reportLines } from './render/report.ts';
import type { Session } from './session.ts';

export interface AccompanyOptions {
  /** The name a person knows the move by, until the first report says it. */
  word: string;
  before?: MoveReport;
  /** The end that was ordered: it counts as done, whatever it would mean after `migrate`. */
  wished?: MoveReport['phase'];
  /** How JSON is printed: the last state only, or every state, one a line. */
  json?: 'last' | 'lines';
}

function styleOf(session: Session, json: AccompanyOptions['json']): Style {
  if (session.output === 'json') return json === 'lines' ? 'json-lines' : 'silent';
  return canDrawLive(session.terminal) ? 'live' : 'plain';
}

/** Says that a person left a move that goes on, and how to come back to it. */
function sayDetached(session: Session, word: string): void {
  const { theme, command } = session.errorView;
  session.remark([
    '',
    `${theme.paint('bold', 'Detached.')} The move of ${word} goes on without this window.`,
    `  follow   ${command} status ${word} --watch`,
    `  cancel   ${command} cancel ${word}`,
  ]);
}

/** Follows a move to where it rests, prints its report and sets the exit code. */
export async function accompany(
  session: Session,
  move: FerryMove,
  options: AccompanyOptions,
): Promise<void> {
  const { view } = session;
  const style = styleOf(session, options.json);
  const { before } = options;
  const followed = await follow({
    move,
    terminal: session.terminal,
    view,
    style,
    footer: 'Ctrl-C leaves this view; the move goes on.',
    ...(before === undefined ? {} : { before }),
  });
  if (followed.kind === 'detached') {
    const vm = followed.status?.report.vm;
    sayDetached(session, vm === undefined ? options.word : moveWord(vm));
    session.exitCode = exitCodeOfSignal(followed.signal);
    return;
  }
  printEnd(session, followed.status, style);
  const { report } = followed.status;
  session.exitCode = report.phase === options.wished ? ExitCode.done : exitCodeOf(report);
}

function printEnd(session: Session, status: MoveStatus, style: Style): void {
  if (style === 'json-lines') return;
  if (style === 'silent') {
    session.printJson(status.report);
    return;
  }
  session.print(['', ...reportLines(status.report, session.view, session.terminal.now())]);
}
