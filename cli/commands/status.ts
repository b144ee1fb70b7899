import { Command } from 'commander';
import type { ImportStatus } from '../../domain/import.ts';
import { exitCodeOf } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import { isImport } from '../ferry.ts';
import type { MoveStatus } from '../ferry.ts';
import { accompany } from '../finish.ts';
import { accompanyImport } from '../imports.ts';
import { outputOption } from '../options.ts';
import { ProgressMemory } from '../progress-memory.ts';
import { frameLines } from '../render/frame.ts';
import { importFrame, importReportLines } from '../render/import.ts';
import { exitCodeOfImport } from '../render/import-words.ts';
import { moveLines } from '../render/lists.ts';
import { reportLines } from '../render/report.ts';
import { shellWord } from '../render/text.ts';
import type { Session } from '../session.ts';

const mostMoves = 50;

async function list(session: Session): Promise<void> {
  const moves = await session.withFerry((ferry) => ferry.moves({ limit: mostMoves }));
  if (session.output === 'json') session.printJson(moves);
  else session.print(moveLines(moves, session.view, session.terminal.now()));
}

async function showOnce(session: Session, id: string): Promise<void> {
  const status = await session.withFerry(async (ferry) => (await ferry.work(id)).status());
  if ('kind' in status.report) {
    showImport(session, status as ImportStatus);
    return;
  }
  showMove(session, status as MoveStatus);
}

function showImport(session: Session, status: ImportStatus): void {
  const { report } = status;
  session.exitCode = exitCodeOfImport(report);
  if (session.output === 'json') {
    session.printJson(status);
    return;
  }
  const now = session.terminal.now();
  session.print(importFrame(status, session.view, { now }));
  session.print(['', ...importReportLines(report, session.view, now)]);
}

function showMove(session: Session, status: MoveStatus): void {
  const { report } = status;
  session.exitCode = exitCodeOf(report);
  if (session.output === 'json') {
    session.printJson(status);
    return;
  }
  const now = session.terminal.now();
  session.print(frameLines(new ProgressMemory().next(status), session.view, { now }));
  session.print(['', ...reportLines(report, session.view, now)]);
}

async function run(session: Session, id: string | undefined, watch: boolean): Promise<void> {
  if (id === undefined) {
    if (watch)
      throw usageError(
        '--watch needs a move or an import',
        'Give its ID, or the name or the UUID of its VM.',
      );
    await list(session);
    return;
  }
  if (!watch) {
    await showOnce(session, id);
    return;
  }
  await session.withFerry(async (ferry) => {
    const work = await ferry.work(id);
    if (isImport(work)) await accompanyImport(session, work, { json: 'lines' });
    else await accompany(session, work, { word: shellWord(id), json: 'lines' });
  });
}

/** `vmferry status [ID]` */
export const statusCommand = (session: Session): Command =>
  new Command('status')
    .summary('show a move or an import, or list the latest ones')
    .argument('[id]', "ID of the move or import, or the VM's name or UUID")
    .option('-w, --watch', 'follow it until it rests')
    .addOption(outputOption())
    .action((id: string | undefined, options: { watch?: true }) =>
      run(session, id, options.watch === true),
    );
