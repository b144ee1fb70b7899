/** How a move begins at the command line: planned only, started and followed, or started and left. */
import { blocks } from '../domain/concerns.ts';
import type { MoveRequest } from '../domain/move.ts';
import { ExitCode, exitCodeOfSignal } from './exit-code.ts';
import type { Ferry, FerryMove } from './ferry.ts';
import { accompany } from './finish.ts';
import { canDrawLive } from './follow.ts';
import { LiveView } from './live-view.ts';
import { planLines } from './render/plan.ts';
import { cut, harmless, shellWord } from './render/text.ts';
import type { Session } from './session.ts';

interface Beginning {
  /** Name or UUID, as the person wrote it. */
  vm: string;
  /** Host that the person named. */
  from?: string;
  detach: boolean;
  dryRun: boolean;
  /** What is asked for, once the fleet can be asked. */
  request: (ferry: Ferry) => Promise<MoveRequest & { preferHost?: string }>;
}

/** Starts the move; undefined if a person interrupted before the server's answer came. */
async function start(
  session: Session,
  ferry: Ferry,
  { vm, from, request }: Beginning,
): Promise<FerryMove | undefined> {
  const { terminal, view, errorView } = session;
  const live =
    canDrawLive(terminal) && session.output === 'text' ? new LiveView(terminal.out) : undefined;
  const where = from === undefined ? '' : ` on ${harmless(from)}`;
  const said = `Looking for ${harmless(vm)}${where} …`;
  live?.draw([view.theme.paint('dim', cut(said, view.width))]);
  const interrupted = Promise.withResolvers<NodeJS.Signals>();
  const stopListening = terminal.onInterrupt(interrupted.resolve);
  const starting = async (): Promise<FerryMove> => ferry.migrate(await request(ferry));
  try {
    const move = await Promise.race([starting(), interrupted.promise]);
    live?.end({ erase: true });
    if (typeof move === 'string') {
      const see = `${errorView.command} status ${shellWord(vm)}`;
      session.remark([
        `Interrupted while the move was being started: it may have begun. See \`${see}\`.`,
      ]);
      session.exitCode = exitCodeOfSignal(move);
      return undefined;
    }
    return move;
  } finally {
    live?.end({ erase: true });
    stopListening();
  }
}

/** Shows what would happen; refused by the same concerns as the move, with the same code. */
async function showPlan(session: Session, { request }: Beginning): Promise<void> {
  const plan = await session.withFerry(async (ferry) => ferry.plan(await request(ferry)));
  if (blocks(plan.concerns)) session.exitCode = ExitCode.refused;
  if (session.output === 'json') session.printJson(plan);
  else session.print(planLines(plan, session.view));
}

/** Does what the person asked for, and sets the exit code. Rejects with what the client rejects with. */
export async function begin(session: Session, beginning: Beginning): Promise<void> {
  if (beginning.dryRun) {
    await showPlan(session, beginning);
    return;
  }
  await session.withFerry(async (ferry) => {
    const move = await start(session, ferry, beginning);
    if (move === undefined) return;
    const word = shellWord(beginning.vm);
    if (!beginning.detach) {
      await accompany(session, move, { word });
      return;
    }
    if (session.output === 'json') {
      session.printJson({ id: move.id });
      return;
    }
    const command = `${session.view.command} status ${word} --watch`;
    session.print([`Started ${move.id}`, `  follow   ${command}`]);
  });
}
