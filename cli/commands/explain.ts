import { Command } from 'commander';
import { ExitCode } from '../exit-code.ts';
import { outputOption } from '../options.ts';
import { storyLines } from '../render/story.ts';
import type { Session } from '../session.ts';

async function run(session: Session, id: string, runId: string | undefined): Promise<void> {
  const story = await session.withFerry(async (ferry) =>
    (await ferry.move(id, runId === undefined ? {} : { runId })).story(),
  );
  session.exitCode = ExitCode.done;
  if (session.output === 'json') session.printJson(story);
  else session.print(storyLines(story, session.view, session.terminal.now()));
}

/** `vmferry explain ID` */
export const explainCommand = (session: Session): Command =>
  new Command('explain')
    .summary('tell the story of a move, from its history')
    .argument('<id>', "ID of the move, or the VM's name or UUID")
    .option('--run <id>', 'an earlier move of the same VM, by the ID of its run')
    .addOption(outputOption())
    .action((id: string, options: { run?: string }) => run(session, id, options.run));
