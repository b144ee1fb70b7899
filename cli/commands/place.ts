import { Command, Option } from 'commander';
import { startPolicies } from '../../domain/placement/weighers.ts';
import type { StartPolicy } from '../../domain/placement/weighers.ts';
import { ExitCode } from '../exit-code.ts';
import { withStorageOptions } from '../move-options.ts';
import type { StorageOptions } from '../move-options.ts';
import { outputOption } from '../options.ts';
import { placeLines } from '../render/place.ts';
import type { Session } from '../session.ts';

interface PlaceOptions extends StorageOptions {
  from?: string;
  preferHost?: string;
  policy: StartPolicy;
  explain?: true;
}

async function run(session: Session, vm: string, options: PlaceOptions): Promise<void> {
  const { policy, preferHost } = options;
  const placed = await session.withFerry(async (ferry) => {
    const home = options.from === undefined ? await ferry.locate(vm) : undefined;
    return ferry.place({
      vm: home?.uuid ?? vm,
      from: options.from ?? home?.host ?? '',
      policy,
      ...(preferHost === undefined ? {} : { preferHost }),
      targetPool: options.pool ?? '',
      disks: options.disk,
      allocation: options.allocation,
      storage: options.storage,
      sharedDisks: options.sharedDisk,
    });
  });
  if (placed.answer.chosen === undefined) session.exitCode = ExitCode.refused;
  if (session.output === 'json') session.printJson(placed);
  else session.print(placeLines(placed, session.view, options.explain === true));
}

/** `vmferry place VM` */
export const placeCommand = (session: Session): Command =>
  withStorageOptions(
    new Command('place')
      .summary('say which host would take a VM')
      .description(
        'Says which host would take a VM now, by the same rules as a move without --to. Nothing is reserved and nothing is touched.',
      )
      .argument('<vm>', 'name or UUID of the VM')
      .option('--from <host>', 'host it is on (default: the one that owns it)')
      .option('--prefer-host <host>', 'the host you would like best')
      .addOption(policyOption())
      .option('--explain', 'what speaks for and against every host'),
  )
    .addOption(outputOption())
    .action((vm: string, options: PlaceOptions) => run(session, vm, options));

/** `--policy` of what chooses a host. */
const policyOption = (): Option =>
  new Option('--policy <name>', 'what a host is chosen by')
    .choices(Object.keys(startPolicies))
    .default('fewest-vms');
