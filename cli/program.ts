import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { doctorCommand } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { guardCommand } from './commands/guard.ts';
import { hostsCommand } from './commands/hosts.ts';
import { migrateCommand } from './commands/migrate.ts';
import { cancelCommand, commitCommand, retryCommand, rollbackCommand } from './commands/orders.ts';
import { pkiCommand } from './commands/pki.ts';
import { orphansCommand } from './commands/orphans.ts';
import { statusCommand } from './commands/status.ts';
import { vmsCommand } from './commands/vms.ts';
import { codecServerCommand, controlCommand, hostCommand } from './commands/workers.ts';
import { exitCodeHelp, exitCodeOfFault, ExitCode } from './exit-code.ts';
import { faultLines, faultOf, usageError } from './fault.ts';
import { asksForJson } from './options.ts';
import { Session } from './session.ts';
import type { Backend, Globals } from './session.ts';
import type { Terminal } from './terminal.ts';

const versionOf = (): string => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

const exitCodes = (): string => {
  const lines = exitCodeHelp.map(([code, meaning]) => `  ${String(code).padEnd(5)}${meaning}`);
  return ['', 'Exit codes:', ...lines].join('\n');
};

const widestHelp = 100;
const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

function build(session: Session, extra: readonly Command[]): Command {
  const { terminal } = session;
  const program = new Command('vmferry')
    .description('Moves KVM virtual machines durably between libvirt hosts.')
    .version(versionOf(), '-V, --version')
    .addOption(
      new Option(
        '--config <file>',
        'configuration (default: $VMFERRY_CONFIG, ./vmferry.yaml, /etc/vmferry/vmferry.yaml)',
      ),
    )
    .addOption(
      new Option('--log-level <level>', 'of the workers, and of traces here').choices(levels),
    )
    .option('--operator <name>', 'who gives the order, for reports (default: $VMFERRY_OPERATOR)')
    .addHelpText('after', exitCodes())
    .hook('preAction', (_, action) => {
      const { config, logLevel, operator } = program.opts<Globals>();
      session.globals = {
        ...(config === undefined ? {} : { config }),
        ...(logLevel === undefined ? {} : { logLevel }),
        ...(operator === undefined ? {} : { operator }),
      };
      session.output = action.opts<{ output?: 'text' | 'json' }>().output ?? 'text';
    });
  program.commandsGroup('Moves:');
  program.addCommand(migrateCommand(session));
  for (const make of [
    statusCommand,
    explainCommand,
    commitCommand,
    rollbackCommand,
    retryCommand,
    cancelCommand,
  ]) {
    program.addCommand(make(session));
  }
  program.commandsGroup('The fleet:');
  for (const make of [vmsCommand, hostsCommand, doctorCommand, guardCommand, pkiCommand])
    program.addCommand(make(session));
  program.addCommand(orphansCommand(session));
  program.commandsGroup('Processes:');
  for (const make of [controlCommand, hostCommand, codecServerCommand])
    program.addCommand(make(session));
  program.commandsGroup('More:');
  program.addHelpCommand(new Command('help').argument('[command]').summary('explain a command'));
  for (const command of extra) program.addCommand(command);
  const explained = (command: Command, path: string): void => {
    command.exitOverride((error) => {
      throw error.exitCode === 0 || error.code === 'commander.help' ? error : usageOf(error, path);
    });
    command.configureOutput({
      writeOut: (text) => terminal.out.write(text),
      writeErr: (text) => terminal.err.write(text),
      // Said by `explain`, in the form of all errors.
      outputError: () => undefined,
      getOutHelpWidth: () => Math.min(widestHelp, terminal.out.columns ?? 80),
      getErrHelpWidth: () => Math.min(widestHelp, terminal.err.columns ?? 80),
    });
    for (const inner of command.commands) explained(inner, `${path} ${inner.name()}`);
  };
  explained(program, 'vmferry');
  return program;
}

/** Says what went wrong, in words or as `{"error": Fault}`, and gives the exit code. */
function explain(session: Session, error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.done;
  // No command at all: commander has printed the help.
  if (error instanceof CommanderError && error.code === 'commander.help') return ExitCode.usage;
  const fault = faultOf(error);
  if (session.output === 'json')
    session.terminal.err.write(`${JSON.stringify({ error: fault })}\n`);
  else session.remark(faultLines(fault, session.errorView));
  const tracing = session.globals.logLevel === 'debug' || session.globals.logLevel === 'trace';
  if (tracing && error instanceof Error) session.remark([error.stack ?? error.message]);
  return exitCodeOfFault(fault);
}

function usageOf(error: CommanderError, command: string): Error {
  const [said = '', ...hints] = error.message.replace(/^error: /u, '').split('\n');
  const hint = hints.join(' ').replace(/^\(|\)$/gu, '');
  const remedy = `See \`${command} --help\`.`;
  return usageError(said, hint === '' ? remedy : `${hint} ${remedy}`);
}

export interface Surroundings {
  terminal: Terminal;
  backend: Backend;
  /** Commands of other rooms, e.g. the lab's. */
  extra?: readonly Command[];
}

/** Runs one command line (without the program's own name) and resolves to its exit code. Does not reject. */
export async function runCli(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const session = new Session(surroundings.terminal, surroundings.backend);
  session.output = asksForJson(args) ? 'json' : 'text';
  try {
    await build(session, surroundings.extra ?? []).parseAsync([...args], { from: 'user' });
    return session.exitCode;
  } catch (error) {
    return explain(session, error);
  }
}
