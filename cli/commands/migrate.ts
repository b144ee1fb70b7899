import { Command, Option } from 'commander';
import type { ChainPolicy, MoveRequest, ShutdownPolicy, VerifyPolicy } from '../../domain/move.ts';
import { begin } from '../begin.ts';
import { assertMakesSense, partOf, withEndOptions, withStorageOptions } from '../move-options.ts';
import type { EndOptions, StorageOptions } from '../move-options.ts';
import { readDuration, readRate } from '../options.ts';
import type { Session } from '../session.ts';

interface MigrateOptions extends StorageOptions, EndOptions {
  from: string;
  to?: string;
  preferHost?: string;
  autoStart?: true;
  verify: VerifyPolicy;
  bandwidth: number;
  shutdown: ShutdownPolicy;
  shutdownTimeout: number;
  chain: ChainPolicy;
}

const requestOf = (
  session: Session,
  vm: string,
  options: MigrateOptions,
): MoveRequest & { preferHost?: string } => ({
  ...partOf(options),
  vm,
  from: options.from,
  to: options.to ?? '',
  ...(options.preferHost === undefined ? {} : { preferHost: options.preferHost }),
  autoStart: options.autoStart ?? false,
  verify: options.verify,
  bandwidthBytesPerSecond: options.bandwidth,
  shutdown: options.shutdown,
  shutdownTimeoutMs: options.shutdownTimeout,
  chain: options.chain,
  operator: session.operator,
});

async function run(session: Session, vm: string, options: MigrateOptions): Promise<void> {
  assertMakesSense(options);
  await begin(session, {
    vm,
    from: options.from,
    detach: options.detach ?? false,
    dryRun: options.dryRun ?? false,
    request: () => Promise.resolve(requestOf(session, vm, options)),
  });
}

/** `vmferry migrate VM --from HOST [--to HOST]` */
export const migrateCommand = (session: Session): Command =>
  withEndOptions(withStorageOptions(ownOptions()).addOption(chainOption())).action(
    (vm: string, options: MigrateOptions) => run(session, vm, options),
  );

const ownOptions = (): Command =>
  new Command('migrate')
    .summary('move a VM to another host')
    .description(
      'Moves a VM with its disks to another host: stop, copy, verify, cut over, start. Waits until it runs there, or a person must act. The source keeps its copy until you commit.',
    )
    .argument('<vm>', 'name or UUID of the VM')
    .requiredOption('--from <host>', 'host it is on')
    .option('--to <host>', 'host it goes to (default: the best by `vmferry place`)')
    .option('--prefer-host <host>', 'without --to: the host you would like best')
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
    );

const chainOption = (): Option =>
  new Option(
    '--chain <policy>',
    'what a copied disk on backing images becomes: one image, or the same chain',
  )
    .choices(['flatten', 'keep'])
    .default('flatten');
