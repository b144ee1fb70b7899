import { Command, Option } from 'commander';
import { defaultLiveWishes, problemOf } from '../../domain/live.ts';
import type { LiveWishes } from '../../domain/live.ts';
import type { MoveRequest, ShutdownPolicy, VerifyPolicy } from '../../domain/move.ts';
import { begin } from '../begin.ts';
import { usageError } from '../fault.ts';
import type { Ferry } from '../ferry.ts';
import { assertMakesSense, partOf, withEndOptions, withStorageOptions } from '../move-options.ts';
import type { EndOptions, StorageOptions } from '../move-options.ts';
import { readCount, readDuration, readMilliseconds, readRate, readSeconds } from '../options.ts';
import type { Session } from '../session.ts';

interface LiveOptions extends StorageOptions, EndOptions {
  from?: string;
  to?: string;
  preferHost?: string;
  maxDowntime: number;
  maxBandwidth: number;
  quicklyFinish?: true;
  highestDowntime?: number;
  autoConverge?: true;
  postCopy?: true;
  pause?: true;
  patience: number;
  parallelConnections?: number;
  compression?: NonNullable<LiveWishes['compression']>;
  fallback: LiveWishes['fallback'];
  shutdown?: ShutdownPolicy;
  shutdownTimeout?: number;
  verify?: VerifyPolicy;
  keepTargetOnFailure?: true;
}

const wishesOf = (options: LiveOptions): LiveWishes => ({
  maxDowntimeMs: options.maxDowntime,
  quicklyFinish: options.quicklyFinish ?? false,
  highestDowntimeMs: options.highestDowntime ?? defaultLiveWishes.highestDowntimeMs,
  autoConverge: options.autoConverge ?? false,
  postCopy: options.postCopy ?? false,
  pause: options.pause ?? false,
  patienceMs: options.patience,
  ...(options.parallelConnections === undefined
    ? {}
    : { parallelConnections: options.parallelConnections }),
  ...(options.compression === undefined ? {} : { compression: options.compression }),
  fallback: options.fallback,
  keepTargetOnFailure: options.keepTargetOnFailure ?? false,
});

/** What excludes one another, or would mean nothing. Throws `usage`. */
function wishesThatFit(options: LiveOptions): LiveWishes {
  if (options.highestDowntime !== undefined && options.quicklyFinish !== true) {
    throw usageError(
      '--highest-downtime says how far the pause is raised, and nothing raises it',
      'Add --quickly-finish, or leave --highest-downtime out.',
    );
  }
  const { shutdown, shutdownTimeout, verify, fallback } = options;
  const onlyCold = shutdown !== undefined || shutdownTimeout !== undefined || verify !== undefined;
  if (onlyCold && fallback !== 'cold') {
    throw usageError(
      '--shutdown, --shutdown-timeout and --verify are for a cold move, and none is to follow',
      'Add --fallback cold, or leave them out.',
    );
  }
  const wishes = wishesOf(options);
  const problem = problemOf(wishes);
  if (problem === undefined) return wishes;
  throw usageError(
    `this live move cannot be asked for: ${problem}`,
    'Change the options that it names; `vmferry live --help` lists them.',
  );
}

async function requestOf(
  ferry: Ferry,
  asked: { session: Session; vm: string; options: LiveOptions; live: LiveWishes },
): Promise<MoveRequest & { preferHost?: string }> {
  const { session, vm, options, live } = asked;
  // By its UUID, since another host may have a VM of that name.
  const home = options.from === undefined ? await ferry.locate(vm) : undefined;
  return {
    ...partOf(options),
    vm: home?.uuid ?? vm,
    from: options.from ?? home?.host ?? '',
    to: options.to ?? '',
    ...(options.preferHost === undefined ? {} : { preferHost: options.preferHost }),
    autoStart: false,
    verify: options.verify ?? 'full',
    bandwidthBytesPerSecond: options.maxBandwidth,
    shutdown: options.shutdown ?? 'graceful',
    shutdownTimeoutMs: options.shutdownTimeout ?? 120_000,
    operator: session.operator,
    live,
  };
}

async function run(session: Session, vm: string, options: LiveOptions): Promise<void> {
  assertMakesSense(options);
  const live = wishesThatFit(options);
  await begin(session, {
    vm,
    ...(options.from === undefined ? {} : { from: options.from }),
    detach: options.detach ?? false,
    dryRun: options.dryRun ?? false,
    request: (ferry) => requestOf(ferry, { session, vm, options, live }),
  });
}

/** `vmferry live VM [--to HOST]` */
export const liveCommand = (session: Session): Command =>
  withEndOptions(withStorageOptions(withFallbackOptions(withPolicyOptions(named())))).action(
    (vm: string, options: LiveOptions) => run(session, vm, options),
  );

const named = (): Command =>
  new Command('live')
    .summary('move a running VM without shutting it down')
    .description(
      'Moves a running VM to another host while it runs: libvirt carries its memory over TLS, and its disks where the hosts do not share them. The guest is paused at the end only, for as long as you allow. What may be done if it changes its memory faster than that crosses, you say by options; without them the move is given up and the VM stays.',
    )
    .argument('<vm>', 'name or UUID of the VM')
    .option('--from <host>', 'host it is on (default: the one that owns it)')
    .option('--to <host>', 'host it goes to (default: the best by `vmferry place`)')
    .option('--prefer-host <host>', 'without --to: the host you would like best');

const withPolicyOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--max-downtime <ms>', "the guest's longest pause")
        .argParser(readMilliseconds)
        .default(defaultLiveWishes.maxDowntimeMs, '300 ms'),
    )
    .addOption(
      new Option('--max-bandwidth <rate>', 'most that memory and disks may take, e.g. 100MiB/s')
        .argParser(readRate)
        .default(0, 'no limit'),
    )
    .option('--quickly-finish', 'rather a longer pause than a long run: raise it step by step')
    .addOption(
      new Option(
        '--highest-downtime <ms>',
        'how far --quickly-finish may go (default: 10 s)',
      ).argParser(readMilliseconds),
    )
    .option('--auto-converge', 'QEMU may slow the guest down, step by step')
    .option(
      '--post-copy',
      'the guest may go on at the target before its memory is there; no way back from that',
    )
    .option('--pause', 'the guest may be paused until the end of the move')
    .addOption(
      new Option('--patience <seconds>', 'how long it may look endless before each of these steps')
        .argParser(readSeconds)
        .default(defaultLiveWishes.patienceMs, '30 s'),
    )
    .addOption(
      new Option(
        '--parallel-connections <n>',
        'that the memory crosses on (default: one); not with --post-copy or --compression',
      ).argParser(readCount),
    )
    .addOption(
      new Option(
        '--compression <kind>',
        'of the memory: xbzrle sends what changed of a page; mt, by threads, not with --post-copy',
      ).choices(['xbzrle', 'mt']),
    )
    .option('--enable-tls', 'accepted for the sake of scripts: TLS is always on');

const withFallbackOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--fallback <policy>',
        'what becomes of a VM that cannot move live: it stays, or is shut down and moved cold',
      )
        .choices(['none', 'cold'])
        .default(defaultLiveWishes.fallback),
    )
    .addOption(
      new Option(
        '--shutdown <policy>',
        'of a fallback: how to stop it (default: graceful)',
      ).choices(['graceful', 'force', 'refuse']),
    )
    .addOption(
      new Option(
        '--shutdown-timeout <time>',
        'of a fallback: how long a graceful shutdown may take (default: 2m)',
      ).argParser(readDuration),
    )
    .addOption(
      new Option('--verify <policy>', 'of a fallback: compare hashes (default: full)').choices([
        'full',
        'off',
      ]),
    )
    .option(
      '--keep-target-on-failure',
      "leave the target's volumes for you to look at; `vmferry orphans` lists them",
    );
