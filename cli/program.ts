import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { configCommand } from './commands/config.ts';
import { conversionHostsCommand } from './commands/conversion-hosts.ts';
import { discardCommand } from './commands/discard.ts';
import { doctorCommand } from './commands/doctor.ts';
import { drainCommand, undrainCommand } from './commands/drain.ts';
import { explainCommand } from './commands/explain.ts';
import { guardCommand } from './commands/guard.ts';
import { hostsCommand } from './commands/hosts.ts';
import { inspectCommand, providersCommand } from './commands/inspect.ts';
import { liveCommand } from './commands/live.ts';
import { migrateCommand } from './commands/migrate.ts';
import { cancelCommand, commitCommand, retryCommand, rollbackCommand } from './commands/orders.ts';
import { pkiCommand } from './commands/pki.ts';
import { placeCommand } from './commands/place.ts';
import { orphansCommand } from './commands/orphans.ts';
import { rehearseCommand } from './commands/rehearse.ts';
import { saveOvaCommand } from './commands/save-ova.ts';
import { statusCommand } from './commands/status.ts';
import { tuneCommand } from './commands/tune.ts';
import { v2vCommand } from './commands/v2v.ts';
import { versionsCommand } from './commands/versions.ts';
import { vmsCommand } from './commands/vms.ts';
import { codecServerCommand, controlCommand, hostCommand } from './commands/workers.ts';
import { exitCodeHelp, exitCodeOfFault, ExitCode } from './exit-code.ts';
import { faultLines, faultOf, usageError } from './fault.ts';
import { helpAfter } from './manual/help.ts';
import { asksForJson } from './options.ts';
import { Session } from './session.ts';
import type { Backend, Globals } from './session.ts';
import type { Terminal } from './terminal.ts';

/** The version of package.json. */
export const versionOf = (): string => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

const exitCodes = (): string => {
  const lines = exitCodeHelp.map(([code, meaning]) => `  ${String(code).padEnd(5)}${meaning}`);
  return ['', 'Exit codes:', ...lines].join('\n');
};

const widestHelp = 100;
const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** All commands, ready to parse; the manual page and the completions are made of them too. */
export function buildProgram(session: Session, extra: readonly Command[]): Command {
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
  addCommands(program, session, extra);
  dress(program, { session, path: '' });
  return program;
}

function addCommands(program: Command, session: Session, extra: readonly Command[]): void {
  const add = (group: string, makers: readonly ((session: Session) => Command)[]): void => {
    program.commandsGroup(group);
    for (const make of makers) program.addCommand(make(session));
  };
  add('Moves:', [
    migrateCommand,
    liveCommand,
    statusCommand,
    explainCommand,
    commitCommand,
    rollbackCommand,
    retryCommand,
    cancelCommand,
    tuneCommand,
    orphansCommand,
  ]);
  add('From other platforms:', [
    providersCommand,
    conversionHostsCommand,
    saveOvaCommand,
    inspectCommand,
    rehearseCommand,
    v2vCommand,
    discardCommand,
  ]);
  add('The fleet:', [
    vmsCommand,
    hostsCommand,
    placeCommand,
    drainCommand,
    undrainCommand,
    versionsCommand,
    doctorCommand,
    guardCommand,
    pkiCommand,
  ]);
  add('Processes:', [controlCommand, hostCommand, codecServerCommand]);
  add('More:', [configCommand, completionCommand]);
  program.addHelpCommand(new Command('help').argument('[command]').summary('explain a command'));
  for (const command of extra) program.addCommand(command);
  program.addCommand(completeCommand(session), { hidden: true });
}

/** Gives a command and those below it the manual, the form of errors and the width of this terminal. */
function dress(command: Command, { session, path }: { session: Session; path: string }): void {
  const { terminal } = session;
  const outWidth = (): number => Math.min(widestHelp, terminal.out.columns ?? 80);
  command.exitOverride((error) => {
    if (error.exitCode === 0 || error.code === 'commander.help') throw error;
    throw usageOf(error, `vmferry ${path}`.trimEnd());
  });
  command.configureOutput({
    writeOut: (text) => terminal.out.write(text),
    writeErr: (text) => terminal.err.write(text),
    // Said by `explain`, in the form of all errors.
    outputError: () => undefined,
    getOutHelpWidth: outWidth,
    getErrHelpWidth: () => Math.min(widestHelp, terminal.err.columns ?? 80),
  });
  if (path !== '') command.addHelpText('after', () => helpAfter(path, outWidth()));
  for (const inner of command.commands)
    dress(inner, { session, path: `${path} ${inner.name()}`.trimStart() });
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
    await buildProgram(session, surroundings.extra ?? []).parseAsync([...args], { from: 'user' });
    return session.exitCode;
  } catch (error) {
    return explain(session, error);
  }
}
