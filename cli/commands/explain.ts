import { Command } from 'commander';
import { ExitCode } from '../exit-code.ts';
import { outputOption } from '../options.ts';
import { importStoryLines } from '../render/import-story.ts';
import { storyLines } from '../render/story.ts';
import type { Session } from '../session.ts';

async function run(session: Session, id: string, runId: string | undefined): Promise<void> {
  const story = await session.withFerry(async (ferry) => {
    const work = await ferry.work(id, runId === undefined ? {} : { runId });
    return work.story();
  });
  session.exitCode = ExitCode.done;
  const { view, terminal } = session;
  if (session.output === 'json') session.printJson(story);
  else if ('kind' in story) session.print(importStoryLines(story, view, terminal.now()));
  else session.print(storyLines(story, view, terminal.now()));
}

/** `vmferry explain ID` */
export const explainCommand = (session: Session): Command =>
  new Command('explain')
    .summary('tell the story of a move or an import, from its history')
    .argument('<id>', "ID of the move or import, or the VM's name or UUID")
    .option('--run <id>', 'an earlier move or import of the same VM, by the ID of its run')
    .addOption(outputOption())
    .action((id: string, options: { run?: string }) => run(session, id, options.run));
