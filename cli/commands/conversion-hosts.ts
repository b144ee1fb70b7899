/** `vmferry conversion-hosts`: the hosts that bring VMs from elsewhere, and what is set of them. */
import { Command, Option } from 'commander';
import { usageSpans } from '../../domain/import/usage.ts';
import type { UsageSpan } from '../../domain/import/usage.ts';
import { ExitCode } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import type { ConversionChange, Ferry, ImportOnHost } from '../ferry.ts';
import { outputOption, readCount, readRate } from '../options.ts';
import {
  conversionHostDetails,
  conversionHostLines,
  endingLines,
  heldText,
  notYetLines,
  usageLines,
} from '../render/conversion-hosts.ts';
import { concernLines } from '../render/report-parts.ts';
import { harmless } from '../render/text.ts';
import type { Session } from '../session.ts';

async function list(session: Session): Promise<void> {
  const hosts = await session.withFerry((ferry) => ferry.conversionHosts());
  if (session.output === 'json') session.printJson(hosts);
  else session.print(conversionHostLines(hosts, session.view));
}

async function show(session: Session, name: string, span: UsageSpan | undefined): Promise<void> {
  await session.withFerry(async (ferry) => {
    if (span !== undefined) {
      const usage = await ferry.conversionUsage(name, span);
      if (session.output === 'json') session.printJson(usage);
      else session.print(usageLines(usage, session.view));
      return;
    }
    const host = await ferry.conversionHost(name);
    if (session.output === 'json') session.printJson(host);
    else session.print(conversionHostDetails(host, session.view));
  });
}

async function change(
  session: Session,
  name: string,
  { wish, said }: { wish: ConversionChange; said: string },
): Promise<void> {
  const host = await session.withFerry((ferry) => ferry.setConversionHost(name, wish));
  if (session.output === 'json') {
    session.printJson(host);
    return;
  }
  const held = host.state?.inForce;
  session.print([
    `${harmless(name)} ${said}${held === undefined ? '' : ` (${heldText(held)})`}.`,
    ...notYetLines(host),
    ...concernLines(host.concerns, session.view),
  ]);
}

async function remove(session: Session, name: string, yes: boolean): Promise<void> {
  await session.withFerry(async (ferry) => {
    // It is refused for a host that nobody knows, before anything is asked.
    await ferry.conversionHost(name);
    const imports = await ferry.importsOn(name);
    if (imports.length > 0 && !yes && !(await isAgreed(session, name, imports))) {
      session.remark(['Nothing was changed.']);
      session.exitCode = ExitCode.cancelled;
      return;
    }
    await removeNow(session, ferry, name);
  });
}

async function isAgreed(
  session: Session,
  name: string,
  imports: readonly ImportOnHost[],
): Promise<boolean> {
  const { ask } = session.terminal;
  if (ask === undefined || session.output === 'json') {
    throw usageError(
      `imports run on ${name} (${imports.length}), and nobody is there to say yes to their end`,
      'Say --yes, or wait until they are over: `vmferry conversion-hosts disable` lets no new one begin.',
    );
  }
  session.remark(endingLines(imports, session.errorView));
  const answer = await ask(`Delete ${harmless(name)} as a conversion host? [y/N] `);
  return /^\s*y(es)?\s*$/i.test(answer);
}

async function removeNow(session: Session, ferry: Ferry, name: string): Promise<void> {
  const removed = await ferry.removeConversionHost(name);
  const { cancelled, left } = removed;
  if (left.length > 0) session.exitCode = ExitCode.failed;
  if (session.output === 'json') {
    session.printJson(removed);
    return;
  }
  session.print([
    `${harmless(name)} is no conversion host any more, until it is added again.`,
    ...cancelled.map(({ id }) => `Cancelled ${harmless(id)}.`),
    ...left.map(({ id, reason }) => `Left ${harmless(id)}: ${harmless(reason)}.`),
  ]);
}

interface SetFlags {
  capUp?: number;
  capDown?: number;
  parallel?: number;
}

function wishOf({ capUp, capDown, parallel }: SetFlags): ConversionChange {
  const wish: ConversionChange = {
    ...(capUp === undefined ? {} : { upBytesPerSecond: capUp }),
    ...(capDown === undefined ? {} : { downBytesPerSecond: capDown }),
    ...(parallel === undefined ? {} : { parallel }),
  };
  if (Object.keys(wish).length > 0) return wish;
  throw usageError(
    'nothing to set',
    'See `vmferry conversion-hosts set --help` for what can be set.',
  );
}

/** `vmferry conversion-hosts`, `vmferry conversion-hosts show|add|enable|disable|set|delete HOST`. */
export const conversionHostsCommand = (session: Session): Command => {
  const hosts = new Command('conversion-hosts')
    .summary('the hosts that bring VMs from elsewhere')
    .description(
      'Lists the hosts whose configuration names providers: whether they take imports, how many run there, and how much room their cache has beside what these have still to write.',
    );
  hosts
    .command('list', { isDefault: true })
    .summary('list them; the same without `list`')
    .addOption(outputOption())
    .action(() => list(session));
  hosts
    .command('show')
    .summary('show one: its room, its caps, what it lacks, and who changed what')
    .argument('<host>', 'its name')
    .addOption(
      new Option('--usage <span>', 'how full its disks were over the last time, instead').choices(
        Object.keys(usageSpans),
      ),
    )
    .addOption(outputOption())
    .action((name: string, { usage }: { usage?: UsageSpan }) => show(session, name, usage));
  for (const { word, summary, wish, said } of switches)
    hosts
      .command(word)
      .summary(summary)
      .argument('<host>', 'its name')
      .addOption(outputOption())
      .action((name: string) => change(session, name, { wish, said }));
  hosts.addCommand(setCommand(session));
  hosts
    .command('delete')
    .summary('take the role away; imports that run there are cancelled')
    .argument('<host>', 'its name')
    .option('-y, --yes', 'without a question')
    .addOption(outputOption())
    .action((name: string, { yes = false }: { yes?: boolean }) => remove(session, name, yes));
  return hosts;
};

const switches: readonly {
  word: string;
  summary: string;
  wish: ConversionChange;
  said: string;
}[] = [
  {
    word: 'add',
    summary: 'give a host the role; one that names providers has it until it is deleted',
    wish: { given: true, enabled: true },
    said: 'is a conversion host',
  },
  {
    word: 'enable',
    summary: 'let it take imports again',
    wish: { enabled: true },
    said: 'takes imports',
  },
  {
    word: 'disable',
    summary: 'let no new import begin there; those under way go on',
    wish: { enabled: false },
    said: 'takes no new imports; those under way go on',
  },
];

const setCommand = (session: Session): Command =>
  new Command('set')
    .summary('change what its imports may take')
    .description(
      'Changes what is named; all else stays. It holds at once, also for what is being copied. Rates go from 8kbit/s to 32Gbit/s; 0 is none.',
    )
    .argument('<host>', 'its name')
    .option('--cap-down <rate>', 'from all sources into its cache, as 1Gbit/s; 0 is none', readRate)
    .option('--cap-up <rate>', 'from its cache to all targets; 0 is none', readRate)
    .option('--parallel <number>', 'copies and conversions at a time, 1 to 64', readCount)
    .addOption(outputOption())
    .action((name: string, flags: SetFlags) =>
      change(session, name, { wish: wishOf(flags), said: 'is set' }),
    );
