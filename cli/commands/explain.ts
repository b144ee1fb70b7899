import { Command } from 'commander';
import type { ImportStatus } from '../../domain/import.ts';
import { ExitCode } from '../exit-code.ts';
import { isImport } from '../ferry.ts';
import { outputOption } from '../options.ts';
import { importReportLines } from '../render/import.ts';
import { storyLines } from '../render/story.ts';
import type { Session } from '../session.ts';

async function run(session: Session, id: string, runId: string | undefined): Promise<void> {
  const told = await session.withFerry(async (ferry) => {
    const work = await ferry.work(id, runId === undefined ? {} : { runId });
    return isImport(work) ? work.status() : work.story();
  });
  if ('progress' in told) {
    showImport(session, told);
    return;
  }
  const story = told;
  session.exitCode = ExitCode.done;
  if (session.output === 'json') session.printJson(story);
  else session.print(storyLines(story, session.view, session.terminal.now()));
}

/** An import's report has its steps, failures and orders: it is the story. */
function showImport(session: Session, { report }: ImportStatus): void {
  if (session.output === 'json') session.printJson(report);
  else session.print(importReportLines(report, session.view, session.terminal.now()));
}

/** `vmferry explain ID` */
export const explainCommand = (session: Session): Command =>
  new Command('explain')
    .summary('tell the story of a move, from its history')
    .argument('<id>', "ID of the move or import, or the VM's name or UUID")
    .option('--run <id>', 'an earlier move of the same VM, by the ID of its run')
    .addOption(outputOption())
    .action((id: string, options: { run?: string }) => run(session, id, options.run));
