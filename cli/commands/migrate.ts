import { Command, Option } from 'commander';
import type { MoveRequest, ShutdownPolicy, VerifyPolicy } from '../../domain/move.ts';
import { exitCodeOfSignal } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import type { Ferry, FerryMove } from '../ferry.ts';
import { accompany } from '../finish.ts';
import { canDrawLive } from '../follow.ts';
import { LiveView } from '../live-view.ts';
import { outputOption, readDuration, readRate } from '../options.ts';
import { cut, harmless, shellWord } from '../render/text.ts';
import type { Session } from '../session.ts';

interface MigrateOptions {
  from: string;
  to: string;
  autoStart?: true;
  verify: VerifyPolicy;
  bandwidth: number;
  shutdown: ShutdownPolicy;
  shutdownTimeout: number;
  pool?: string;
  autoCommit?: true;
  detach?: true;
}

const requestOf = (session: Session, vm: string, options: MigrateOptions): MoveRequest => ({
  vm,
  from: options.from,
  to: options.to,
  autoStart: options.autoStart ?? false,
  verify: options.verify,
  bandwidthBytesPerSecond: options.bandwidth,
  shutdown: options.shutdown,
  shutdownTimeoutMs: options.shutdownTimeout,
  autoCommit: options.autoCommit ?? false,
  targetPool: options.pool ?? '',
  operator: session.operator,
});

/** Starts the move; undefined if a person interrupted before the server's answer came. */
async function start(
  session: Session,
  ferry: Ferry,
  request: MoveRequest,
): Promise<FerryMove | undefined> {
  const { terminal, view, errorView } = session;
  const live =
    canDrawLive(terminal) && session.output === 'text' ? new LiveView(terminal.out) : undefined;
  const said = `Looking for ${harmless(request.vm)} on ${harmless(request.from)} …`;
  live?.draw([view.theme.paint('dim', cut(said, view.width))]);
  const interrupted = Promise.withResolvers<NodeJS.Signals>();
  const stopListening = terminal.onInterrupt(interrupted.resolve);
  try {
    const move = await Promise.race([ferry.migrate(request), interrupted.promise]);
    live?.end({ erase: true });
    if (typeof move === 'string') {
      const see = `${errorView.command} status ${shellWord(request.vm)}`;
      session.remark([
        `Interrupted while the move was being started: it may have begun. See \`${see}\`.`,
      ]);
      session.exitCode = exitCodeOfSignal(move);
      return undefined;
    }
    return move;
  } finally {
    live?.end({ erase: true });
    stopListening();
  }
}

async function run(session: Session, vm: string, options: MigrateOptions): Promise<void> {
  if (options.from === options.to) {
    throw usageError(
      `--from and --to both name ${options.from}`,
      'Name two different hosts; `vmferry hosts` lists them.',
    );
  }
  await session.withFerry(async (ferry) => {
    const move = await start(session, ferry, requestOf(session, vm, options));
    if (move === undefined) return;
    if (options.detach !== true) {
      await accompany(session, move, { word: shellWord(vm) });
      return;
    }
    if (session.output === 'json') {
      session.printJson({ id: move.id });
      return;
    }
    const command = `${session.view.command} status ${shellWord(vm)} --watch`;
    session.print([`Started ${move.id}`, `  follow   ${command}`]);
  });
}

/** `vmferry migrate VM --from HOST --to HOST` */
export const migrateCommand = (session: Session): Command =>
  new Command('migrate')
    .summary('move a VM to another host')
    .description(
      'Moves a VM with its disks to another host: stop, copy, verify, cut over, start. Waits until it runs there, or a person must act. The source keeps its copy until you commit.',
    )
    .argument('<vm>', 'name or UUID of the VM')
    .requiredOption('--from <host>', 'host it is on')
    .requiredOption('--to <host>', 'host it goes to')
    .option('--auto-start', 'start it on the target even if it was off')
    .addOption(
      new Option('--verify <policy>', 'compare hashes of both sides after the copy')
        .choices(['full', 'off'])
        .default('full'),
    )
    .addOption(
      new Option('--bandwidth <rate>', 'most the copy may take, over all disks, e.g. 100MiB/s')
        .argParser(readRate)
        .default(0, 'no limit'),
    )
    .addOption(
      new Option(
        '--shutdown <policy>',
        'how to stop a running VM; refuse: only move it if it is off',
      )
        .choices(['graceful', 'force', 'refuse'])
        .default('graceful'),
    )
    .addOption(
      new Option(
        '--shutdown-timeout <time>',
        'how long a graceful shutdown may take before it is forced',
      )
        .argParser(readDuration)
        .default(120_000, '2m'),
    )
    .option('--pool <name>', 'storage pool on the target (default: the one named as on the source)')
    .option('--auto-commit', 'commit at once: removes the VM from the source without asking')
    .option('--detach', 'start the move and return')
    .addOption(outputOption())
    .action((vm: string, options: MigrateOptions) => run(session, vm, options));
