/** The program: `bin/vmferry` runs this file. Which commands there are: program.ts. */
import { backend } from './backend.ts';
import { labCommands } from './lab-commands.ts';
import { runCli } from './program.ts';
import { processTerminal } from './terminal.ts';

const args = process.argv.slice(2);
const code = await runCli(args, {
  terminal: processTerminal(),
  backend,
  extra: await labCommands(args),
});
// Not left to the event loop: after a detach or a lost server, connections may still hold it open.
process.exit(code);
