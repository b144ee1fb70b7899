/** `vmferry orphans`: what moves left on the hosts; removed or taken over by a person's word only. */
import { Command } from 'commander';
import type { ListOrphansResult } from '../../client/vmferry.ts';
import type { OrphanOrder, OrphanOutcome } from '../../domain/orphans.ts';
import { ExitCode } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import type { Ferry } from '../ferry.ts';
import { outputOption } from '../options.ts';
import { orphanLines } from '../render/orphans.ts';
import { harmless } from '../render/text.ts';
import type { Session } from '../session.ts';

/** What these commands ask of the client. */
export interface OrphanFerry {
  orphans(options: { hosts?: string[] }): Promise<ListOrphansResult>;
  settleOrphan(order: Pick<OrphanOrder, 'id' | 'order'> & { host: string }): Promise<OrphanOutcome>;
}

const ferryOf = (ferry: Ferry): OrphanFerry => ferry as Ferry & OrphanFerry;

async function list(session: Session, hosts: readonly string[]): Promise<void> {
  const options = hosts.length === 0 ? {} : { hosts: [...hosts] };
  const found = await session.withFerry((ferry) => ferryOf(ferry).orphans(options));
  if (session.output === 'json') session.printJson(found);
  else session.print(orphanLines(found.orphans, session.view));
  if (found.unreachable.length === 0) return;
  // A list with holes must not look whole to a script.
  session.exitCode = ExitCode.failed;
  if (session.output === 'json') return;
  const { theme } = session.errorView;
  session.remark(
    found.unreachable.map(
      ({ host, reason }) =>
        `${theme.paint('yellow', 'warning:')} ${harmless(`no answer from ${host}: ${reason}`)}`,
    ),
  );
}

async function settle(
  session: Session,
  { id, order, host }: Pick<OrphanOrder, 'id' | 'order'> & { host: string },
): Promise<void> {
  const outcome = await session.withFerry((ferry) =>
    ferryOf(ferry).settleOrphan({ host, id, order }),
  );
  if (session.output === 'json') session.printJson(outcome);
  else
    session.print([
      outcome.done === 'removed'
        ? `Removed ${harmless(outcome.what)} on ${host}.`
        : `${harmless(outcome.what)} on ${host} is yours now; it stays and is not listed any more.`,
    ]);
}

const collect = (value: string, previous: readonly string[]): string[] => [...previous, value];

/** `vmferry orphans [--host H]...`, `vmferry orphans remove ID --host H --yes`, `vmferry orphans keep ID --host H`. */
export const orphansCommand = (session: Session): Command => {
  const orphans = new Command('orphans')
    .summary('list what moves left on the hosts')
    .description(
      'Lists what moves left on the hosts: volumes of moves that ended without their undo, VMs that the guard still ' +
        'holds, and everything of moves that Temporal does not know. vmferry removes none of it by itself.',
    );
  // A command of its own, so that `--host` and `-o` after another one are not taken for the list's.
  orphans
    .command('list', { isDefault: true })
    .summary('list them; the same without `list`')
    .option('--host <name>', 'only of this host; may be given several times', collect, [])
    .addOption(outputOption())
    .action((options: { host: string[] }) => list(session, options.host));
  orphans
    .command('remove')
    .summary('remove one orphan from its host')
    .description(
      'Removes one orphan. The host checks everything again first: the move is over, it made the file, no VM names it, ' +
        'and no process has it open. Kept, with your name, in the audit log of the host.',
    )
    .argument('<id>', 'as the list shows it')
    .requiredOption('--host <name>', 'the host it lies on')
    .option('--yes', 'say that its data may be lost for good')
    .addOption(outputOption())
    .action((id: string, { host, yes }: { host: string; yes?: true }) => {
      if (yes !== true)
        throw usageError(
          `what ${id} holds would be lost for good`,
          'Say --yes if that is meant; `vmferry orphans` shows what it is.',
        );
      return settle(session, { id, order: 'remove', host });
    });
  orphans
    .command('keep')
    .summary('take one orphan out of the list; it stays where it is')
    .argument('<id>', 'as the list shows it')
    .requiredOption('--host <name>', 'the host it lies on')
    .addOption(outputOption())
    .action((id: string, { host }: { host: string }) =>
      settle(session, { id, order: 'keep', host }),
    );
  return orphans;
};
