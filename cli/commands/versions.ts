import { Command } from 'commander';
import { outputOption } from '../options.ts';
import { versionLines } from '../render/versions.ts';
import type { Session } from '../session.ts';

async function run(session: Session): Promise<void> {
  const list = await session.withFerry((ferry) => ferry.versions());
  if (session.output === 'json') session.printJson(list);
  else session.print(versionLines(list, session.view));
}

/** `vmferry versions` */
export const versionsCommand = (session: Session): Command =>
  new Command('versions')
    .summary('list the versions of the control worker and the moves that need each')
    .addOption(outputOption())
    .action(() => run(session));
