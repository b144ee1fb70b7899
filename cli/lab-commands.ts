import { existsSync } from 'node:fs';
import { Command } from 'commander';

const file = new URL('./lab.ts', import.meta.url);

/** `vmferry lab`, in full only if it was asked for: the lab's parts take time to load. */
export async function labCommands(args: readonly string[]): Promise<Command[]> {
  if (!existsSync(file)) return [];
  if (!args.includes('lab')) {
    return [new Command('lab').summary('hosts in namespaces on this machine, to try vmferry on')];
  }
  const { labCommand } = (await import(file.href)) as { labCommand: () => Command };
  return [labCommand()];
}
