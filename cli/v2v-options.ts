/** Options of `vmferry v2v`: how they are read, and the requests that they are. */
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { ImportRequest, RunningPolicy } from '../domain/import.ts';
import type { VerifyPolicy } from '../domain/move.ts';
import type { DiskFormat } from '../domain/vm.ts';
import { formats } from './disk-option.ts';
import { usageError } from './fault.ts';
import type { V2vRequest } from './ferry.ts';
import { collect, outputOption, readDuration, readRate } from './options.ts';
import { wishOf, withCheck } from './rehearse-options.ts';
import type { CheckOptions } from './rehearse-options.ts';
import { assertShapesFit, shapeFor, withShape } from './v2v-shape.ts';
import type { ShapeOptions } from './v2v-shape.ts';

export interface V2vOptions extends CheckOptions, ShapeOptions {
  provider: string;
  on?: string;
  to?: string;
  mapNetwork: Record<string, string>;
  defaultNetwork?: string;
  mapStorage: Record<string, string>;
  pool?: string;
  format?: DiskFormat;
  running: RunningPolicy;
  shutdownTimeout: number;
  restartSource: boolean;
  convert: boolean;
  root?: string;
  luksKey: string[];
  autoStart?: true;
  autoCommit?: true;
  verify: VerifyPolicy;
  bandwidth: number;
  keepCache?: number;
  compressCache?: true;
  rehearse?: true;
  /** As `vmferry rehearse` asks; no option of its own. */
  rehearseOnly?: true;
  yes?: true;
  dryRun?: true;
  detach?: true;
}

const running: readonly RunningPolicy[] = [
  ...(['shutdown', 'shutdown-or-force-off', 'force-off', 'pause', 'leave'] as const),
];

/** `A=B`; a name on the left may hold a `=`, one of ours on the right does not. */
function readMap(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.lastIndexOf('=');
  const [from, to] = [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
  if (from === '' || to === '') throw new InvalidArgumentError('Expected SOURCE=TARGET.');
  if (Object.hasOwn(before, from)) throw new InvalidArgumentError(`${from} was mapped before.`);
  return { ...before, [from]: to };
}

/** Where it comes from and where it goes. */
export const withPlaces = (command: Command): Command =>
  command
    .requiredOption(
      '--provider <name>',
      'where they are, as `vmferry providers` lists them; has to be given',
    )
    .option('--on <host>', 'conversion host (default: the one with the fewest imports under way)')
    .option('--to <host>', 'host they come to (default: the conversion host itself)')
    .addOption(
      new Option(
        '--map-network <source=target>',
        'a network of theirs to one of the target: NAME, bridge:NAME or network:NAME; repeatable',
      )
        .argParser(readMap)
        .default({}, 'none'),
    )
    .option('--default-network <target>', 'for all networks that are not mapped')
    .addOption(
      new Option(
        '--map-storage <source=pool>',
        "a datastore, a folder or a disk's key to a pool of the target; repeatable",
      )
        .argParser(readMap)
        .default({}, 'none'),
    )
    .option('--pool <name>', 'for all disks that are not mapped')
    .addOption(
      new Option('--format <format>', 'of the disks (default: qcow2 in folders, else raw)').choices(
        formats,
      ),
    );

/** What becomes of the source, and of the VM once it is there. */
const withWay = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--running <policy>',
        'of a source that runs: it is shut down (and powered off where its guest does not follow in time), powered off, or goes on (paused during the copy, or not), which makes a clone',
      )
        .choices(running)
        .default('shutdown'),
    )
    .addOption(
      new Option(
        '--shutdown-timeout <time>',
        'how long a shutdown may take; then the import waits for you, or powers it off if --running says so',
      )
        .argParser(readDuration)
        .default(300_000, '5m'),
    )
    .option('--no-restart-source', 'leave a source off that was shut down, if the import fails')
    .option('--auto-start', 'start it on the target even if it was off')
    .option('--auto-commit', 'commit at once: drops what was copied without asking')
    .addOption(
      new Option('--verify <policy>', 'compare hashes of both sides after the transfer')
        .choices(['full', 'off'])
        .default('full'),
    );

/** How the disks are changed. */
export const withConversion = (command: Command): Command =>
  command
    .option('--no-convert', 'change nothing in the guest: emulated devices')
    .option('--root <device>', 'which system of several in a guest: first, /dev/sda2')
    .addOption(
      new Option(
        '--luks-key <device=secret>',
        "key of an encrypted device in the guest, by its name in the conversion host's configuration; repeatable",
      )
        .argParser(collect)
        .default([], 'none'),
    );

/** How they are copied, and for how long that is kept. */
export const withCopy = (command: Command): Command =>
  command
    .addOption(
      new Option('--bandwidth <rate>', 'most that each copy may take, e.g. 100MiB/s')
        .argParser(readRate)
        .default(0, 'no limit'),
    )
    .addOption(
      new Option(
        '--keep-cache <time>',
        'how long what was copied is kept after a failure (default: as the conversion host is configured)',
      ).argParser(readDuration),
    )
    .option(
      '--compress-cache',
      'compress what is kept after a failure: less room, and the next import has to unpack it first',
    );

export const withBegin = (command: Command): Command =>
  command
    .option('-y, --yes', 'begin without asking')
    .option('--dry-run', 'show findings and the expected use; touch nothing')
    .option('--detach', 'begin, and return');

export const withV2vOptions = (command: Command): Command =>
  withBegin(
    withCheck(
      withCopy(withConversion(withWay(withShape(withPlaces(command))))).option(
        '--rehearse',
        'start it apart from everything on the conversion host first, and see whether it comes up',
      ),
    ),
  ).addOption(outputOption());

/** What needs no server to be known as wrong. Throws `usage`. */
export function assertV2vMakesSense(vms: readonly string[], options: V2vOptions): void {
  assertShapesFit(vms, options);
  if (options.dryRun === true && (options.yes === true || options.detach === true)) {
    throw usageError('--dry-run begins nothing', 'Leave --yes and --detach out.');
  }
  if (options.rehearse === undefined && (options.check ?? options.checkTimeout) !== undefined) {
    throw usageError('--check is for a rehearsal', 'Say --rehearse too, or leave it out.');
  }
  for (const [option, isGiven] of [
    ['--root', options.root !== undefined],
    ['--luks-key', options.luksKey.length > 0],
  ] as const) {
    if (options.convert || !isGiven) continue;
    throw usageError(
      `${option} is for a conversion, and --no-convert leaves the guest as it is`,
      'Leave one of them out.',
    );
  }
  const nameless = [...Object.values(options.mapNetwork), options.defaultNetwork ?? ''].find(
    (text) => text === 'bridge:' || text === 'network:',
  );
  if (nameless !== undefined)
    throw usageError(`${nameless} names no network`, `Say which: ${nameless}NAME.`);
  // Before anybody is asked for a yes.
  options.luksKey.forEach(luksKeyOf);
  const twice = vms.find((vm, index) => vms.indexOf(vm) !== index);
  if (twice !== undefined) throw usageError(`${twice} is named twice`, 'Name each VM once.');
}

/** One request a VM. Throws `usage`. */
export function v2vRequests(
  vms: readonly string[],
  options: V2vOptions,
  operator: string,
): V2vRequest[] {
  const { pool, format } = options;
  const { on, to, defaultNetwork, root } = options;
  const luksKeys = options.luksKey.map(luksKeyOf);
  const common: Omit<V2vRequest, 'vm' | 'shape'> = {
    provider: options.provider,
    operator,
    ...(on === undefined ? {} : { on }),
    ...(to === undefined ? {} : { to }),
    networks: options.mapNetwork,
    ...(defaultNetwork === undefined ? {} : { defaultNetwork }),
    storageMap: options.mapStorage,
    storage: {
      ...(pool === undefined ? {} : { pool }),
      ...(format === undefined ? {} : { format }),
    },
    running: options.running,
    shutdownTimeoutMs: options.shutdownTimeout,
    restartSource: options.restartSource,
    convert: options.convert ? 'yes' : 'no',
    ...(root === undefined ? {} : { root }),
    ...(luksKeys.length === 0 ? {} : { luksKeys }),
    autoStart: options.autoStart ?? false,
    autoCommit: options.autoCommit ?? false,
    verify: options.verify,
    bandwidthBytesPerSecond: options.bandwidth,
    ...(options.rehearse === undefined
      ? {}
      : { rehearse: wishOf(options, options.rehearseOnly === true) }),
    ...(options.keepCache === undefined
      ? {}
      : { cacheSeconds: Math.round(options.keepCache / 1000) }),
    ...(options.compressCache === true ? { compressCache: true } : {}),
  };
  return vms.map((vm) => ({ ...common, vm, shape: shapeFor(vm, options) }));
}

function luksKeyOf(text: string): NonNullable<ImportRequest['luksKeys']>[number] {
  const at = text.lastIndexOf('=');
  if (at > 0 && at < text.length - 1)
    return { device: text.slice(0, at), reference: text.slice(at + 1) };
  throw usageError(
    '--luks-key takes DEVICE=SECRET',
    'Name the device (`/dev/sda2`, or `all`) and the secret of `host.conversion.secrets`, never the key itself.',
  );
}
