/** `vmferry drain` and `vmferry undrain`: takes all VMs away from a host, and lets them come again. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { mostParallel } from '../../domain/drain/drain.ts';
import type { DrainRequest } from '../../domain/drain/drain.ts';
import { accompanyDrain } from '../drain.ts';
import { usageError } from '../fault.ts';
import { skipsOf, withSkipOptions } from '../move-options.ts';
import type { SkipOptions } from '../move-options.ts';
import { outputOption, readRate } from '../options.ts';
import { drainPlanLines } from '../render/drain.ts';
import type { Session } from '../session.ts';

interface DrainOptions extends SkipOptions {
  live?: true;
  coldOnly?: true;
  policy?: DrainRequest['rest'];
  parallel: number;
  to: Record<string, string>;
  bandwidth: number;
  autoCommit?: true;
  dryRun?: true;
  cancel?: true;
  detach?: true;
}

function readParallel(text: string): number {
  const moves = Number(text);
  if (/^\d+$/u.test(text) && moves >= 1 && moves <= mostParallel) return moves;
  throw new InvalidArgumentError(`It takes a whole number from 1 to ${mostParallel}.`);
}

function readLabel(text: string, labels: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It takes KEY=VALUE.');
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) };
}

/** What excludes one another. Throws `usage`. */
function assertFits({ live, coldOnly, policy, cancel, dryRun, detach }: DrainOptions): void {
  if (coldOnly === true && (live === true || policy !== undefined)) {
    const other = live === true ? '--live' : '--policy';
    throw usageError(
      `--cold-only shuts every VM down, so that ${other} has nothing to say`,
      `Leave one of --cold-only and ${other} out.`,
    );
  }
  if (cancel === true && (dryRun === true || detach === true)) {
    throw usageError('--cancel begins nothing', 'Leave --dry-run and --detach out.');
  }
  if (dryRun === true && detach === true) {
    throw usageError(
      '--dry-run starts nothing, so there is nothing to detach from',
      'Leave --detach out.',
    );
  }
}

const requestOf = (session: Session, options: DrainOptions): Partial<DrainRequest> => ({
  running: options.coldOnly === true ? 'cold' : 'live',
  rest: options.policy ?? 'leave',
  off: options.live === true ? 'leave' : 'move',
  parallel: options.parallel,
  labels: options.to,
  autoCommit: options.autoCommit ?? false,
  bandwidthBytesPerSecond: options.bandwidth,
  ...skipsOf(options),
  operator: session.operator,
});

async function run(session: Session, host: string, options: DrainOptions): Promise<void> {
  assertFits(options);
  const request = requestOf(session, options);
  await session.withFerry(async (ferry) => {
    if (options.dryRun === true) {
      const plan = await ferry.planDrain(host, request);
      if (session.output === 'json') session.printJson(plan);
      else session.print(drainPlanLines(plan, session.view));
      return;
    }
    if (options.cancel === true) {
      const drain = ferry.drainOf(host);
      await drain.cancel();
      await accompanyDrain(session, drain);
      return;
    }
    const { drain, joined } = await ferry.drain(host, request);
    if (joined) {
      session.remark([
        `${host} is being drained already, as was asked for then; what failed is tried again.`,
      ]);
    }
    if (options.detach !== true) await accompanyDrain(session, drain);
    else if (session.output === 'json') session.printJson({ id: drain.id });
    else session.print([`Started ${drain.id}`, `  follow   ${session.command} drain ${host}`]);
  });
}

/** `vmferry drain HOST` */
export const drainCommand = (session: Session): Command =>
  withSkipOptions(
    new Command('drain')
      .summary('move all VMs of a host to other hosts')
      .description(
        'Takes every VM away from a host, some at a time: those that run live, those that are off cold. No VM comes to the host meanwhile, nor after it, until `vmferry undrain`. Said once more it follows the drain there is, and tries again what failed. The host keeps its copy of each VM until you commit that move.',
      )
      .argument('<host>', 'host to be emptied')
      .option('--live', 'only VMs that run; those that are off stay')
      .option('--cold-only', 'shut every VM down and move it cold')
      .addOption(
        new Option(
          '--policy <what>',
          'of a VM that runs and cannot move live: it runs on here, is shut down and moved, or counts as failed (default: leave)',
        ).choices(['leave', 'cold', 'fail']),
      )
      .addOption(
        new Option('--parallel <n>', 'moves at a time; the limits of the hosts hold beside it')
          .argParser(readParallel)
          .default(2),
      )
      .addOption(
        new Option('--to <label=value>', 'only to hosts with this label; repeatable')
          .argParser(readLabel)
          .default({}, 'any host'),
      )
      .addOption(
        new Option('--bandwidth <rate>', 'most that each move may take, e.g. 100MiB/s')
          .argParser(readRate)
          .default(0, 'no limit'),
      ),
  )
    .option('--auto-commit', 'commit each move at once: removes the VM from the host')
    .option('--dry-run', 'say what would become of each VM; touch nothing')
    .option('--cancel', 'call back the drain that runs; the host stays marked')
    .option('--detach', 'start the drain and return')
    .addOption(outputOption())
    .action((host: string, options: DrainOptions) => run(session, host, options));

/** `vmferry undrain HOST` */
export const undrainCommand = (session: Session): Command =>
  new Command('undrain')
    .summary('let VMs come to a host again')
    .description(
      'Lets VMs come to a host again after a drain. A drain that runs is cancelled: moves under way go back, unless they are past their cutover. Nothing that was moved comes back by itself.',
    )
    .argument('<host>', 'host that was drained')
    .addOption(outputOption())
    .action(async (host: string) => {
      const done = await session.withFerry((ferry) => ferry.undrain(host));
      if (session.output === 'json') session.printJson(done);
      else {
        session.print([
          `VMs may come to ${host} again.`,
          ...(done.cancelled ? ['Its drain was cancelled; see `vmferry status`.'] : []),
        ]);
      }
    });
