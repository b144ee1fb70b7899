import { backend } from '../backend.ts';
import { labCommand } from '../lab.ts';
import { buildProgram, versionOf } from '../program.ts';
import { Session } from '../session.ts';
import { processTerminal } from '../terminal.ts';
import { manualPage } from './roff.ts';

/** When the page was last rewritten; changed by hand, so that the page is the same on every machine. */
const date = '2026-11-21';

/** The manual page of the commands as they are in this checkout. */
export function currentManualPage(): string {
  // Defaults of options that the environment gives have no place in the page.
  const program = buildProgram(new Session(processTerminal(), backend), [labCommand({})]);
  return manualPage(program, { version: versionOf(), date });
}
