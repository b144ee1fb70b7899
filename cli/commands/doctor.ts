import { Command } from 'commander';
import { ExitCode } from '../exit-code.ts';
import { certificateFindings } from '../certificate-findings.ts';
import { examine } from '../checks.ts';
import type { Finding } from '../checks.ts';
import { outputOption } from '../options.ts';
import { policyFinding } from '../policy-finding.ts';
import { findingLines } from '../render/findings.ts';
import type { Session } from '../session.ts';

/** The fleet first, then this machine's certificates and policy, if the configuration can be read at all. */
async function* everything({ backend, globals, operator }: Session): AsyncGenerator<Finding> {
  yield* examine(backend, globals, operator);
  const config = await backend.loadConfig(globals).catch(() => undefined);
  if (config === undefined) return;
  yield* await certificateFindings(config);
  if (config.host !== undefined) yield await policyFinding(config.host);
}

async function run(session: Session): Promise<void> {
  const findings: Finding[] = [];
  for await (const finding of everything(session)) {
    findings.push(finding);
    // As it comes: a check that waits for a host must not hide the ones before it.
    if (session.output === 'text') session.print(findingLines(finding, session.view));
  }
  if (session.output === 'json') session.printJson(findings);
  const bad = findings.filter(({ state }) => state === 'bad').length;
  if (bad > 0) session.exitCode = ExitCode.failed;
  if (session.output === 'json') return;
  const { theme } = session.view;
  session.print([
    '',
    bad === 0
      ? theme.paint('green', 'All is well.')
      : theme.paint('red', `${bad} of ${findings.length} checks failed.`),
  ]);
}

/** `vmferry doctor` */
export const doctorCommand = (session: Session): Command =>
  new Command('doctor')
    .summary('check the configuration, the server and the hosts')
    .description(
      'Checks what a move needs, in order, and says what to do about each thing that is amiss.',
    )
    .addOption(outputOption())
    .action(() => run(session));
