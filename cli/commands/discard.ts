import { Command } from 'commander';
import { usageError } from '../fault.ts';
import { isImport } from '../ferry.ts';
import { outputOption } from '../options.ts';
import { harmless } from '../render/text.ts';
import type { Session } from '../session.ts';

async function run(session: Session, id: string): Promise<void> {
  const dropped = await session.withFerry(async (ferry) => {
    const one = await ferry.work(id);
    if (!isImport(one)) {
      throw usageError(
        `${id} is a move, which keeps no copy on a conversion host`,
        'See what moves left with `vmferry orphans`.',
      );
    }
    await one.discard();
    return one.id;
  });
  if (session.output === 'json') session.printJson({ id: dropped });
  else session.print([`Dropped what ${harmless(dropped)} had copied.`]);
}

/** `vmferry discard ID` */
export const discardCommand = (session: Session): Command =>
  new Command('discard')
    .summary('drop what an import that is over has left in the cache')
    .description(
      'Drops what a failed, cancelled, rolled back or rehearsed import had copied, before its time is over. The next import of the VM copies all of it anew.',
    )
    .argument('<id>', "ID of the import, or the VM's name or UUID")
    .addOption(outputOption())
    .action((id: string) => run(session, id));
