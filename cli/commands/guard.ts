/** `vmferry guard`: this host's ledger, read and overruled by a person. Works without Temporal, worker and libvirt. */
import { Command } from 'commander';
import type { HostConfig } from '../../config/schema.ts';
import { needsOperator } from '../../domain/errors.ts';
import { outputOption } from '../options.ts';
import { guardLines } from '../render/guard.ts';
import type { Session } from '../session.ts';

async function hostOf(session: Session): Promise<HostConfig> {
  const { host } = await session.backend.loadConfig(session.globals);
  if (host !== undefined) return host;
  throw needsOperator({
    code: 'host-section-missing',
    message: 'the configuration has no section `host`: the guard is a matter of one host',
    remedy: 'Run this on the host whose guard is meant, with its configuration.',
  });
}

async function ledgerOf(session: Session) {
  const { name, stateDir } = await hostOf(session);
  const { Ledger } = await import('../../guard/ledger.ts');
  return new Ledger({ stateDir, host: name });
}

async function show(session: Session): Promise<void> {
  const listing = await (await ledgerOf(session)).list();
  if (session.output === 'json') session.printJson(listing);
  else session.print(guardLines(listing, session.view));
}

interface ClaimFlags {
  reason: string;
  knownEpoch?: string;
}

async function claimVm(session: Session, uuid: string, flags: ClaimFlags): Promise<void> {
  const ledger = await ledgerOf(session);
  const { claim } = await import('../../guard/claim.ts');
  const entry = await claim({
    ledger,
    uuid,
    reason: flags.reason,
    operator: session.operator,
    ...(flags.knownEpoch === undefined ? {} : { knownEpoch: Number(flags.knownEpoch) }),
  });
  if (session.output === 'json') session.printJson(entry);
  else
    session.print([`${ledger.host} owns ${entry.name} (${entry.uuid}) at epoch ${entry.epoch}.`]);
}

/** `vmferry guard show|claim` */
export const guardCommand = (session: Session): Command => {
  const guard = new Command('guard').summary("this host's guard: who may run which VM");
  guard
    .command('show')
    .summary('list what the ledger of this host says')
    .addOption(outputOption())
    .action(() => show(session));
  guard
    .command('claim')
    .summary('say that this host owns a VM from now on, whatever a move says')
    .description(
      'Says that this host owns a VM from now on, whatever a move says. It proves nothing about other hosts: ' +
        'make sure first that no other copy runs. Kept, with your name and reason, in the audit log of the state folder.',
    )
    .argument('<uuid>', 'UUID of the VM')
    .requiredOption('--reason <text>', 'how you know that no other copy of it runs')
    .option(
      '--known-epoch <number>',
      'highest epoch that any host knows, where the file is damaged',
    )
    .addOption(outputOption())
    .action((uuid: string, flags: ClaimFlags) => claimVm(session, uuid, flags));
  return guard;
};
