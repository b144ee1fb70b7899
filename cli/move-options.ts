/** Options that every kind of move has, and what they mean together. */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { MoveRequest, SkippedCheck, StoragePolicy } from '../domain/move.ts';
import type { DiskFormat } from '../domain/vm.ts';
import { assertChoicesFit, formats, readDisk } from './disk-option.ts';
import { usageError } from './fault.ts';
import { collect, outputOption } from './options.ts';

export interface StorageOptions {
  pool?: string;
  format?: DiskFormat;
  disk: NonNullable<MoveRequest['disks']>;
  sharedDisk: string[];
  storage: StoragePolicy;
  allocation: 'thin' | 'full';
}

export interface SkipOptions {
  skipCpuCheck?: true;
  skipKernelCheck?: true;
}

export interface EndOptions extends SkipOptions {
  autoCommit?: true;
  detach?: true;
  dryRun?: true;
}

/** Where the disks go. */
export const withStorageOptions = (command: Command): Command =>
  command
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
    );

/** Which checks are left out. */
export const withSkipOptions = (command: Command): Command =>
  command
    .option('--skip-cpu-check', 'take it upon yourself that the CPUs differ; recorded')
    .option(
      '--skip-kernel-check',
      'take it upon yourself that kernel or microcode differ; recorded',
    );

/** The part of a request that these are; nothing where none is said. */
export function skipsOf(options: SkipOptions): { skip?: SkippedCheck[] } {
  const skip: SkippedCheck[] = [
    ...(options.skipCpuCheck === true ? (['cpu'] as const) : []),
    ...(options.skipKernelCheck === true ? (['kernel'] as const) : []),
  ];
  return skip.length === 0 ? {} : { skip };
}

/** Which checks are left out, and what becomes of the command once the move is asked for. */
export const withEndOptions = (command: Command): Command =>
  withSkipOptions(command)
    .option('--auto-commit', 'commit at once: removes the VM from the source without asking')
    .option('--detach', 'start the move and return')
    .option('--dry-run', 'show findings, disks and steps; touch nothing')
    .addOption(outputOption());

/** What needs no server to be known as wrong. Throws `usage`. */
export function assertMakesSense(
  options: StorageOptions & EndOptions & { from?: string; to?: string; preferHost?: string },
): void {
  if (options.to !== undefined && options.preferHost !== undefined) {
    throw usageError(
      '--to names the host, so that none is left to prefer',
      'Leave one of --to and --prefer-host out.',
    );
  }
  if (options.from !== undefined && options.from === options.to) {
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

/** The part of a request that these options are. */
export function partOf(
  options: StorageOptions & EndOptions,
): Pick<
  MoveRequest,
  | 'autoCommit'
  | 'targetPool'
  | 'storage'
  | 'sharedDisks'
  | 'targetFormat'
  | 'disks'
  | 'allocation'
  | 'skip'
> {
  return {
    autoCommit: options.autoCommit ?? false,
    targetPool: options.pool ?? '',
    storage: options.storage,
    sharedDisks: options.sharedDisk,
    targetFormat: options.format ?? '',
    disks: options.disk,
    allocation: options.allocation,
    ...skipsOf(options),
  };
}
