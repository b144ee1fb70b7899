/** `vmferry v2v`: brings VMs from foreign platforms. */
import { Command } from 'commander';
import { blocks } from '../../domain/concerns.ts';
import { ExitCode } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import type { Ferry, FerryV2vStart, V2vForecast } from '../ferry.ts';
import { accompanyImports } from '../imports.ts';
import type { Followable } from '../imports.ts';
import { forecastLines } from '../render/foreign.ts';
import { exitCodeOfAll } from '../render/import-words.ts';
import { harmless, shellWord } from '../render/text.ts';
import { exitCodeOfFault } from '../exit-code.ts';
import type { Session } from '../session.ts';
import { assertV2vMakesSense, v2vRequests, withV2vOptions } from '../v2v-options.ts';
import type { V2vOptions } from '../v2v-options.ts';

/** For `vmferry rehearse` too, which is an import without an arrival. */
export async function runV2v(
  session: Session,
  vms: readonly string[],
  options: V2vOptions,
): Promise<void> {
  assertV2vMakesSense(vms, options);
  assertSomebodyAnswers(session, options);
  const requests = v2vRequests(vms, options, session.operator);
  await session.withFerry(async (ferry) => {
    const forecast = await ferry.forecastV2v(requests);
    const isRefused = isForbidden(forecast);
    if (options.dryRun === true) {
      if (session.output === 'json') session.printJson(forecast);
      else session.print([...forecastLines(forecast, session.view), '', dryRunWords]);
      if (isRefused) session.exitCode = ExitCode.refused;
      return;
    }
    showBefore(session, forecast);
    if (isRefused) {
      refuse(session, forecast);
      return;
    }
    if (options.yes !== true && !(await isAgreed(session, forecast, options))) {
      session.remark(['Nothing was begun.']);
      session.exitCode = ExitCode.cancelled;
      return;
    }
    await begin(session, ferry, { forecast, detach: options.detach === true });
  });
}

const dryRunWords = 'This was a dry run: nothing was touched.';

/** A question that nobody can answer must not wait for ever. */
function assertSomebodyAnswers({ terminal, output }: Session, { yes, dryRun }: V2vOptions): void {
  if (yes === true || dryRun === true) return;
  if (terminal.ask !== undefined && output === 'text') return;
  throw usageError(
    'nobody is there to say yes to what the import will use',
    'Look at it with --dry-run, then say --yes.',
  );
}

const isForbidden = ({ imports, concerns }: V2vForecast): boolean =>
  blocks(concerns) || imports.some((line) => blocks(line.concerns));

/** On stderr: the result of the command is what becomes of it. */
function showBefore(session: Session, forecast: V2vForecast): void {
  if (session.output === 'text')
    session.remark([...forecastLines(forecast, session.errorView), '']);
}

function refuse(session: Session, forecast: V2vForecast): void {
  session.exitCode = ExitCode.refused;
  if (session.output === 'json') {
    session.printJson(forecast);
    return;
  }
  const { paint, glyphs } = session.errorView.theme;
  const barred = forecast.imports.filter(({ concerns }) => blocks(concerns));
  const who =
    barred.length === 0
      ? 'these VMs together cannot come'
      : `${barred.map(({ vm }) => harmless(vm.name)).join(', ')} cannot come`;
  session.remark([
    paint(['bold', 'red'], `${glyphs.failed} Refused: ${who} as asked; nothing was begun`),
  ]);
}

async function isAgreed(
  { terminal }: Session,
  { imports }: V2vForecast,
  { rehearseOnly }: V2vOptions,
): Promise<boolean> {
  const what = imports.length === 1 ? 'this VM' : `these ${imports.length} VMs`;
  const answer =
    (await terminal.ask?.(`${rehearseOnly === true ? 'Rehearse' : 'Bring'} ${what}? [y/N] `)) ?? '';
  return /^\s*y(es)?\s*$/i.test(answer);
}

async function begin(
  session: Session,
  ferry: Ferry,
  { forecast, detach }: { forecast: V2vForecast; detach: boolean },
): Promise<void> {
  const begun = await ferry.v2v(forecast);
  if (!detach) {
    await accompanyImports(session, begun.map(followable));
    return;
  }
  const codes = begun.map(({ fault }) =>
    fault === undefined ? ExitCode.done : exitCodeOfFault(fault),
  );
  session.exitCode = exitCodeOfAll(codes);
  if (session.output === 'json') {
    session.printJson({
      imports: begun.map(({ id, vm, fault }) => ({ id, name: vm.name, ...(fault && { fault }) })),
    });
    return;
  }
  session.print(
    begun.flatMap(({ id, vm, fault }) =>
      fault === undefined
        ? [`Started ${id}`, `  follow   ${session.command} status ${shellWord(id)} --watch`]
        : [`Not begun: ${harmless(`${vm.name}: ${fault.message}`)}`, `  ${harmless(fault.remedy)}`],
    ),
  );
}

const followable = ({ id, vm, import: one, fault }: FerryV2vStart): Followable => ({
  ...{ id, name: vm.name },
  ...(one === undefined ? {} : { import: one }),
  ...(fault === undefined ? {} : { fault }),
});

/** `vmferry v2v --provider P VM...` */
export const v2vCommand = (session: Session): Command =>
  withV2vOptions(
    new Command('v2v')
      .summary('bring VMs from VMware, from another KVM host or from OVA files')
      .description(
        'Brings VMs of a provider to a host: copied to a conversion host, converted there, and on to the target. Shows what that will use of the target, and begins after a yes. The source is never deleted: it is left off, or as it was. One import a VM; up to 50 at once.',
      )
      .argument('<vm...>', 'ID, name or UUID at the provider'),
  ).action((vms: string[], options: V2vOptions) => runV2v(session, vms, options));
