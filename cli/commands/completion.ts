/** `vmferry completion SHELL`, and what its scripts ask. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Argument, Command } from 'commander';
import { candidates } from '../completion/candidates.ts';
import type { AskFleet } from '../completion/candidates.ts';
import { completionScripts } from '../completion/scripts.ts';
import type { Shell } from '../completion/scripts.ts';
import { harmless } from '../render/text.ts';
import type { Session } from '../session.ts';

/** A person waits with a finger on Tab. */
const patienceMs = 2000;

/** Errors are no help in the middle of a line: then there is nothing to offer. */
const askWithin =
  (session: Session): AskFleet =>
  async (config, ask) => {
    if (config !== undefined) session.globals = { ...session.globals, config };
    const answer = session.withFerry(ask).catch(() => []);
    return Promise.race([answer, sleep(patienceMs, [], { ref: false })]);
  };

async function complete(session: Session, program: Command, words: string[]): Promise<void> {
  const found = await candidates(program, words, askWithin(session));
  session.print(
    found.map(({ value, description }) =>
      description === '' ? value : `${harmless(value)}\t${harmless(description)}`,
    ),
  );
}

/** `vmferry completion bash|zsh|fish` */
export const completionCommand = (session: Session): Command =>
  new Command('completion')
    .summary('print what makes a shell complete vmferry')
    .description(
      'Prints a script that makes a shell complete commands, options, their values, and the names of hosts, VMs and moves.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(completionScripts)))
    .action((shell: Shell) => session.terminal.out.write(completionScripts[shell]));

/** `vmferry __complete -- WORDS...`, for the scripts. */
export const completeCommand = (session: Session): Command =>
  new Command('__complete')
    .argument('[words...]')
    .action((words: string[], _: unknown, command: Command) =>
      complete(session, command.parent ?? command, words),
    );
