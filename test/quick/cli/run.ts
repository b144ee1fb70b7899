/** One command line, with fakes behind it. */
import { labCommand } from '../../../cli/lab.ts';
import { buildProgram, runCli } from '../../../cli/program.ts';
import type { Ferry, FerryMove } from '../../../cli/ferry.ts';
import { Session } from '../../../cli/session.ts';
import type { Backend } from '../../../cli/session.ts';
import { backendWith, FakeMove, ferryWith, terminalWith } from './fake-client.ts';

export interface RunOptions {
  move?: FerryMove;
  ferry?: Partial<Ferry>;
  backend?: Partial<Backend>;
  terminal?: ReturnType<typeof terminalWith>;
}

/** Runs it and gives its code and what it wrote. */
export async function run(args: readonly string[], options: RunOptions = {}) {
  const terminal = options.terminal ?? terminalWith();
  const ferry = ferryWith(options.move ?? new FakeMove(), options.ferry);
  const code = await runCli(args, { terminal, backend: backendWith(ferry, options.backend) });
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

/** Every command that does something, as `guard claim` -> the command. */
export function everyCommand() {
  const session = new Session(terminalWith(), backendWith(ferryWith(new FakeMove())));
  const program = buildProgram(session, [labCommand({})]);
  const found = new Map<string, ReturnType<typeof buildProgram>>();
  const visit = (command: ReturnType<typeof buildProgram>, path: string): void => {
    for (const inner of command.commands) visit(inner, `${path} ${inner.name()}`.trimStart());
    const acts =
      command.commands.length === 0 || command.options.some(({ long }) => long === '--output');
    if (path !== '' && acts && !path.startsWith('__')) found.set(path, command);
  };
  visit(program, '');
  return found;
}
