import { Command } from 'commander';

/** `vmferry lab`, in full only if it was asked for: the lab's parts take time to load. */
export async function labCommands(args: readonly string[]): Promise<Command[]> {
  if (args.includes('lab')) return [(await import('./lab.ts')).labCommand()];
  return [
    new Command('lab').summary('real hosts in namespaces on this machine, to try vmferry on'),
  ];
}
