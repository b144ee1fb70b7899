/** `vmferry inspect` and `vmferry providers`: what there is to bring. */
import { Command } from 'commander';
import { ExitCode } from '../exit-code.ts';
import { outputOption } from '../options.ts';
import { foreignLookLines, providerLines } from '../render/foreign.ts';
import { harmless } from '../render/text.ts';
import type { Session } from '../session.ts';

interface InspectOptions {
  provider: string;
  on?: string;
}

async function inspect(
  session: Session,
  vm: string,
  { provider, on }: InspectOptions,
): Promise<void> {
  const look = await session.withFerry((ferry) =>
    ferry.inspectForeign(provider, vm, on === undefined ? {} : { on }),
  );
  if (session.output === 'json') session.printJson(look);
  else session.print(foreignLookLines(look, session.view));
}

/** `vmferry inspect --provider P VM` */
export const inspectCommand = (session: Session): Command =>
  new Command('inspect')
    .summary('show a VM of a provider, and what speaks against bringing it')
    .description(
      'Shows what a foreign VM is: its disks, cards, firmware, addresses, and all that its platform and the rules say of bringing it by the defaults. `vmferry v2v --dry-run` judges it together with a target. Nothing is touched.',
    )
    .argument('<vm>', 'ID, name or UUID at the provider')
    .requiredOption('--provider <name>', 'where it is')
    .option('--on <host>', 'conversion host that looks (default: one that knows the provider)')
    .addOption(outputOption())
    .action((vm: string, options: InspectOptions) => inspect(session, vm, options));

async function list(session: Session, host: string | undefined): Promise<void> {
  const found = await session.withFerry((ferry) =>
    ferry.providers(host === undefined ? {} : { host }),
  );
  const { providers, unreachable } = found;
  const isWhole =
    unreachable.length === 0 && providers.every(({ reachable }) => reachable === true);
  // A list with holes must not look whole to a script.
  if (!isWhole) session.exitCode = ExitCode.failed;
  if (session.output === 'json') {
    session.printJson(found);
    return;
  }
  session.print(providerLines(providers, session.view));
  const { theme } = session.errorView;
  session.remark(
    unreachable.map(
      ({ host: silent, reason }) =>
        `${theme.paint('yellow', 'warning:')} ${harmless(`no answer from ${silent}: ${reason}`)}`,
    ),
  );
}

/** `vmferry providers [HOST]` */
export const providersCommand = (session: Session): Command =>
  new Command('providers')
    .summary('list the foreign platforms that VMs can be brought from')
    .description(
      'Lists the providers in the configuration of the hosts that are online, and asks each whether it lets them in.',
    )
    .argument('[host]', 'only those of this conversion host')
    .addOption(outputOption())
    .action((host: string | undefined) => list(session, host));
