import { Command } from 'commander';
import { ExitCode } from '../exit-code.ts';
import { collect, outputOption } from '../options.ts';
import { vmLines } from '../render/lists.ts';
import { harmless } from '../render/text.ts';
import type { Session } from '../session.ts';

async function run(session: Session, hosts: readonly string[]): Promise<void> {
  const options = hosts.length === 0 ? {} : { hosts: [...hosts] };
  const list = await session.withFerry((ferry) => ferry.vms(options));
  if (session.output === 'json') session.printJson(list);
  else session.print(vmLines(list.vms, session.view));
  if (list.unreachable.length === 0) return;
  // A list with holes must not look whole to a script.
  session.exitCode = ExitCode.failed;
  if (session.output === 'json') return;
  const { theme } = session.errorView;
  session.remark(
    list.unreachable.map(
      ({ host, reason }) =>
        `${theme.paint('yellow', 'warning:')} ${harmless(`no answer from ${host}: ${reason}`)}`,
    ),
  );
}

/** `vmferry vms [--host H]...` */
export const vmsCommand = (session: Session): Command =>
  new Command('vms')
    .summary('list the VMs of the hosts')
    .option('--host <name>', 'only of this host; may be given several times', collect, [])
    .addOption(outputOption())
    .action((options: { host: string[] }) => run(session, options.host));
