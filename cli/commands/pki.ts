/** `vmferry pki`: the fleet's certificates, made on the machine that keeps the authority's key. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { defaultAuthorityDir } from '../../pki/authority-files.ts';
import type { Authority, IssuedCertificate } from '../../pki/authority.ts';
import type { Role } from '../../pki/roles.ts';
import { outputOption } from '../options.ts';
import { certificateLines } from '../render/certificates.ts';
import type { Session } from '../session.ts';

interface AuthorityFlags {
  dir: string;
  passphrase?: string;
}

interface PeriodFlags extends AuthorityFlags {
  days?: number;
}

interface IssueFlags extends PeriodFlags {
  role: Role;
  address: string[];
  dns: string[];
  force?: boolean;
}

const mostDays = 36_500;

function readDays(text: string): number {
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= mostDays) return days;
  throw new InvalidArgumentError(`a whole number from 1 to ${mostDays}`);
}

const collect = (text: string, before: string[]): string[] => [...before, text];
const roles = ['host', 'client', 'temporal'];
const roleOption = () => new Option('--role <role>', 'what it is for').choices(roles);
const daysOption = () => new Option('--days <n>', 'how long it is good').argParser(readDays);

/** What signs is loaded only here: no other command needs it. */
async function authorityOf({ dir, passphrase }: AuthorityFlags): Promise<Authority> {
  const { Authority: Signing } = await import('../../pki/authority.ts');
  if (passphrase === undefined) return new Signing({ dir });
  const { resolveText } = await import('../../config/secrets.ts');
  return new Signing({ dir, passphrase: await resolveText(passphrase) });
}

const shown = ({ notAfter, ...facts }: { notAfter: Date }) => ({
  ...facts,
  notAfter: notAfter.toISOString(),
});

async function init(
  session: Session,
  flags: PeriodFlags & { name: string; force?: boolean },
): Promise<void> {
  const authority = await authorityOf(flags);
  await authority.init(flags);
  const { caCert, caKey } = authority.files;
  if (flags.passphrase === undefined) {
    session.remark([
      `! ${caKey} is not encrypted: whoever reads it can pass for any host. It is readable by its owner alone;`,
      '  use `--passphrase` for more, and keep it off machines that are reached from outside.',
    ]);
  }
  if (session.output === 'json') session.printJson({ caCert, caKey });
  else session.print([`Made ${caCert}. Next: vmferry pki issue HOST --address IP`]);
}

async function issue(session: Session, name: string, flags: IssueFlags): Promise<void> {
  const authority = await authorityOf(flags);
  const { writeBundle } = await import('../../pki/bundle.ts');
  const { role, address, dns, days, force } = flags;
  const { cert, key, facts } = await authority.issue(
    { name, role, addresses: address, dns },
    { ...(days === undefined ? {} : { days }), ...(force === undefined ? {} : { force }) },
  );
  const bundle = await writeBundle(authority, facts, { cert, key });
  if (session.output === 'json') session.printJson({ ...shown(facts), bundle });
  else session.print(bundleLines(bundle, facts));
}

async function renew(
  session: Session,
  name: string,
  { role, days, ...flags }: PeriodFlags & { role?: Role },
): Promise<void> {
  const authority = await authorityOf(flags);
  const { writeBundle } = await import('../../pki/bundle.ts');
  const { cert, facts } = await authority.renew(name, {
    ...(role === undefined ? {} : { role }),
    ...(days === undefined ? {} : { days }),
  });
  const bundle = await writeBundle(authority, facts, { cert });
  if (session.output === 'json') session.printJson({ ...shown(facts), bundle });
  else session.print(bundleLines(bundle, facts));
}

const bundleLines = (
  bundle: string,
  { name, role, notAfter }: { name: string; role: Role; notAfter: Date },
): string[] => [
  `${name} has a certificate as ${role} until ${notAfter.toISOString().slice(0, 10)}: ${bundle}`,
  role === 'host'
    ? `Copy the folder to ${name} by a safe way (scp -pr), then run there: vmferry pki install FOLDER`
    : 'Copy the folder by a safe way (scp -pr), and name its files under `temporal.tls`.',
];

async function revoke(
  session: Session,
  name: string,
  flags: AuthorityFlags & { reason: string },
): Promise<void> {
  const authority = await authorityOf(flags);
  const facts = await authority.revoke(name, flags.reason);
  if (session.output === 'json') session.printJson(shown(facts));
  else {
    session.print([
      `Revoked ${facts.serial} of ${facts.name}. It counts once each host has ${authority.files.crl}`,
      'as /etc/pki/qemu/ca-crl.pem and /etc/pki/CA/cacrl.pem. Temporal reads no such list: docs/operating/certificates.md.',
    ]);
  }
}

async function list(session: Session, flags: AuthorityFlags): Promise<void> {
  const all: IssuedCertificate[] = await (await authorityOf(flags)).list();
  if (session.output === 'json') session.printJson(all);
  else session.print(certificateLines(all, session.view, session.terminal.now()));
}

async function install(
  session: Session,
  bundle: string,
  { pkiDir, force = false }: { pkiDir: string; force?: boolean },
): Promise<void> {
  const { installBundle } = await import('../../pki/install.ts');
  const changed = await installBundle({ bundle, pkiDir, force });
  if (session.output === 'json') session.printJson({ changed });
  else session.print(changed.length === 0 ? ['All was in place.'] : changed);
}

/** `vmferry pki init|issue|renew|revoke|list|install` */
export const pkiCommand = (session: Session): Command => {
  const pki = new Command('pki').summary("the fleet's certificate authority");
  const authority = (command: Command): Command =>
    command
      .option('--dir <folder>', "the authority's folder", defaultAuthorityDir)
      .option('--passphrase <ref>', 'of its key: env:NAME, file:/PATH or exec:/PROGRAM')
      .addOption(outputOption());
  authority(pki.command('init').summary('make the authority: once a fleet'))
    .option('--name <name>', 'its name', 'vmferry CA')
    .addOption(daysOption())
    .option('--force', 'replace one: all that it signed becomes worthless')
    .action((flags: PeriodFlags & { name: string }) => init(session, flags));
  authority(pki.command('issue').summary('make a key and a certificate for a name'))
    .argument('<name>', "`host.name` of a host's configuration, or who the client is")
    .addOption(roleOption().default('host'))
    .option('--address <ip>', 'IP address, e.g. `host.migrationAddress`; repeatable', collect, [])
    .option('--dns <name>', 'further DNS name; repeatable', collect, [])
    .addOption(daysOption())
    .option('--force', 'also where the name has a valid certificate')
    .action((name: string, flags: IssueFlags) => issue(session, name, flags));
  authority(pki.command('renew').summary('a new certificate over the same key'))
    .argument('<name>', 'whose certificate')
    .addOption(roleOption())
    .addOption(daysOption())
    .action((name: string, flags: PeriodFlags) => renew(session, name, flags));
  authority(pki.command('revoke').summary('say that a certificate counts no more'))
    .argument('<name>', 'whose newest certificate, or a serial number')
    .requiredOption('--reason <text>', 'why, for the record')
    .action((name: string, flags: AuthorityFlags & { reason: string }) =>
      revoke(session, name, flags),
    );
  authority(pki.command('list').summary('what was signed, and until when it is good')).action(
    (flags: AuthorityFlags) => list(session, flags),
  );
  pki
    .command('install')
    .summary('on a host: put its bundle where QEMU and libvirt look')
    .argument('<bundle>', 'folder that `issue` or `renew` made')
    .option('--pki-dir <folder>', 'where to', '/etc/pki')
    .option('--force', 'replace another authority, or another key')
    .addOption(outputOption())
    .action((bundle: string, flags: { pkiDir: string; force?: boolean }) =>
      install(session, bundle, flags),
    );
  return pki;
};
