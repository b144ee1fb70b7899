import { Command } from 'commander';
import { outputOption } from '../options.ts';
import { hostLines } from '../render/lists.ts';
import type { Session } from '../session.ts';

async function run(session: Session, facts: boolean): Promise<void> {
  const hosts = await session.withFerry((ferry) => ferry.hosts({ facts }));
  if (session.output === 'json') session.printJson(hosts);
  else session.print(hostLines(hosts, session.view, facts));
}

/** `vmferry hosts [--facts]` */
export const hostsCommand = (session: Session): Command =>
  new Command('hosts')
    .summary('list the hosts and whether their workers answer')
    .option('--facts', 'ask each host for its guard, versions, memory and pools')
    .addOption(outputOption())
    .action((options: { facts?: true }) => run(session, options.facts === true));
