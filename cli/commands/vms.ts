import { Command, Option } from 'commander';
import type { ForeignVmSummary } from '../../domain/foreign.ts';
import { ExitCode } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import { collect, outputOption } from '../options.ts';
import { foreignVmLines } from '../render/foreign.ts';
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

/** All of a provider; as one table, since columns want to know all lines. */
async function runForeign(session: Session, provider: string, on: string | undefined) {
  const vms = await session.withFerry(async (ferry) => {
    const found: ForeignVmSummary[] = [];
    const options = on === undefined ? {} : { on };
    for await (const vm of ferry.foreignVms(provider, options)) found.push(vm);
    return found;
  });
  if (session.output === 'json') session.printJson({ provider, vms });
  else session.print(foreignVmLines(vms, session.view));
}

interface VmsOptions {
  host: string[];
  provider?: string;
  on?: string;
}

async function list(session: Session, { host, provider, on }: VmsOptions): Promise<void> {
  if (provider === undefined && on !== undefined)
    throw usageError('--on names who asks a provider, and none is named', 'Add --provider.');
  if (provider !== undefined && host.length > 0)
    throw usageError('--host and --provider exclude each other', 'Leave one of them out.');
  await (provider === undefined ? run(session, host) : runForeign(session, provider, on));
}

/** `vmferry vms [--host H]...`, `vmferry vms --provider P` */
export const vmsCommand = (session: Session): Command =>
  new Command('vms')
    .summary('list the VMs of the hosts, or of a provider')
    .description(
      'Lists the VMs of all hosts that are online, of some of them, or those of a provider outside the fleet.',
    )
    .addOption(
      new Option('--host <name>', 'only of this host; may be given several times')
        .argParser(collect)
        .default([], 'all'),
    )
    .option('--provider <name>', 'of a foreign platform instead')
    .option('--on <host>', 'conversion host that asks it (default: one that knows the provider)')
    .addOption(outputOption())
    .action((options: VmsOptions) => list(session, options));
