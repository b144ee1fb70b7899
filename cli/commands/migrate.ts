import { Command, Option } from 'commander';
import { blocks } from '../../domain/concerns.ts';
import type {
  ChainPolicy,
  MoveRequest,
  ShutdownPolicy,
  StoragePolicy,
  VerifyPolicy,
} from '../../domain/move.ts';
import type { DiskFormat } from '../../domain/vm.ts';
import { assertChoicesFit, formats, readDisk } from '../disk-option.ts';
import { ExitCode, exitCodeOfSignal } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import type { Ferry, FerryMove } from '../ferry.ts';
import { accompany } from '../finish.ts';
import { canDrawLive } from '../follow.ts';
import { LiveView } from '../live-view.ts';
import { collect, outputOption, readDuration, readRate } from '../options.ts';
import { planLines } from '../render/plan.ts';
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
  format?: DiskFormat;
  disk: NonNullable<MoveRequest['disks']>;
  sharedDisk: string[];
  storage: StoragePolicy;
  allocation: 'thin' | 'full';
  chain: ChainPolicy;
  autoCommit?: true;
  detach?: true;
  dryRun?: true;
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
  storage: options.storage,
  sharedDisks: options.sharedDisk,
  targetFormat: options.format ?? '',
  disks: options.disk,
  allocation: options.allocation,
  chain: options.chain,
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

/** What needs no server to be known as wrong. Throws `usage`. */
function assertMakesSense(options: MigrateOptions): void {
  if (options.from === options.to) {
    throw usageError(
      `--from and --to both name ${options.from}`,
      'Name two different hosts; `vmferry hosts` lists them.',
    );
  }
  if (options.dryRun === true && options.detach === true) {
    throw usageError(
      '--dry-run starts no move, so there is nothing to detach from',
      'Leave --detach out.',
    );
  }
  assertChoicesFit({
    storage: options.storage,
    disks: options.disk,
    sharedDisks: options.sharedDisk,
  });
}

/** Shows what would happen; refused by the same concerns as the move, with the same code. */
async function showPlan(session: Session, request: MoveRequest): Promise<void> {
  const plan = await session.withFerry((ferry) => ferry.plan(request));
  if (blocks(plan.concerns)) session.exitCode = ExitCode.refused;
  if (session.output === 'json') session.printJson(plan);
  else session.print(planLines(plan, session.view));
}

async function run(session: Session, vm: string, options: MigrateOptions): Promise<void> {
  assertMakesSense(options);
  if (options.dryRun === true) {
    await showPlan(session, requestOf(session, vm, options));
    return;
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
    .addOption(
      new Option('--format <format>', 'of the copied disks (default: as on the source)').choices(
        formats,
      ),
    )
    .addOption(
      new Option('--disk <name:pool=P,format=F>', 'another way for one disk; repeatable')
        .argParser(readDisk)
        .default({}, 'none'),
    )
    .addOption(
      new Option('--storage <policy>', 'auto: a disk that both hosts see is not copied')
        .choices(['auto', 'copy', 'shared'])
        .default('auto'),
    )
    .option(
      '--shared-disk <name>',
      'your word that both hosts see this block or network disk; repeatable',
      collect,
      [],
    )
    .addOption(
      new Option('--allocation <policy>', 'whether copied disks take all their room at once')
        .choices(['thin', 'full'])
        .default('thin'),
    )
    .addOption(
      new Option(
        '--chain <policy>',
        'what a copied disk on backing images becomes: one image, or the same chain',
      )
        .choices(['flatten', 'keep'])
        .default('flatten'),
    )
    .option('--auto-commit', 'commit at once: removes the VM from the source without asking')
    .option('--detach', 'start the move and return')
    .option('--dry-run', 'show findings, disks and steps; touch nothing')
    .addOption(outputOption())
    .action((vm: string, options: MigrateOptions) => run(session, vm, options));
