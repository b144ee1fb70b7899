import { Command, Option } from 'commander';
import { usageError } from '../fault.ts';
import { isImport } from '../ferry.ts';
import { outputOption, readMilliseconds, readRate } from '../options.ts';
import { duration, rate } from '../render/quantity.ts';
import type { Session } from '../session.ts';

interface TuneOptions {
  maxBandwidth?: number;
  maxDowntime?: number;
}

/** The new limits in words. */
const limitWords = ({ maxBandwidth, maxDowntime }: TuneOptions): string =>
  [
    ...(maxBandwidth === undefined
      ? []
      : [maxBandwidth === 0 ? 'no limit of bandwidth' : `at most ${rate(maxBandwidth)}`]),
    ...(maxDowntime === undefined ? [] : [`a pause of at most ${duration(maxDowntime)}`]),
  ].join(', ');

const whenWords = (atOnce: boolean): string =>
  atOnce
    ? 'It holds from now on.'
    : 'Nothing runs now that it could change: it holds for what comes.';

/** Nothing of an import runs while it is copied, so that there is no pause. Throws `usage`. */
function limitsOfImport({ maxBandwidth, maxDowntime }: TuneOptions) {
  if (maxBandwidth !== undefined && maxDowntime === undefined)
    return { bandwidthBytesPerSecond: maxBandwidth };
  throw usageError('an import has no pause to limit', 'Give --max-bandwidth alone.');
}

async function run(session: Session, id: string, options: TuneOptions): Promise<void> {
  const { maxBandwidth, maxDowntime } = options;
  if (maxBandwidth === undefined && maxDowntime === undefined) {
    throw usageError(
      'nothing to change was named',
      'Give --max-bandwidth, --max-downtime or both.',
    );
  }
  await session.withFerry(async (ferry) => {
    const move = await ferry.work(id);
    const atOnce = isImport(move)
      ? await move.tune(limitsOfImport(options))
      : await move.tune({
          ...(maxBandwidth === undefined ? {} : { bandwidthBytesPerSecond: maxBandwidth }),
          ...(maxDowntime === undefined ? {} : { maxDowntimeMs: maxDowntime }),
        });
    if (session.output === 'json') session.printJson({ id: move.id, accepted: 'tune', atOnce });
    else
      session.print([
        `Accepted: tune ${move.id}: ${limitWords(options)}`,
        `  ${whenWords(atOnce)}`,
      ]);
  });
}

/** `vmferry tune ID` */
export const tuneCommand = (session: Session): Command =>
  new Command('tune')
    .summary('change the limits of a move or an import under way')
    .description(
      'Changes how much a move or an import that is under way may take of the network, and how long a live move may pause the guest. What is not named stays as it is.',
    )
    .argument('<id>', "ID of the move or import, or the VM's name or UUID")
    .addOption(
      new Option(
        '--max-bandwidth <rate>',
        'most that it may take, e.g. 100MiB/s; 0 for no limit',
      ).argParser(readRate),
    )
    .addOption(
      new Option('--max-downtime <ms>', "the guest's longest pause").argParser(readMilliseconds),
    )
    .addOption(outputOption())
    .action((id: string, options: TuneOptions) => run(session, id, options));
