/** `vmferry hosts`: which there are, and what people set of them. */
import { Command, InvalidArgumentError } from 'commander';
import type { HostChange, HostState } from '../../client/vmferry.ts';
import { usageError } from '../fault.ts';
import { collect, outputOption, readRate } from '../options.ts';
import { hostDetailLines, hostFactLines, hostLines } from '../render/hosts.ts';
import { harmless } from '../render/text.ts';
import type { Ferry, HostLine } from '../ferry.ts';
import type { Session } from '../session.ts';

/** What these commands ask of the client. */
export interface HostFerry {
  host(name: string): Promise<HostLine>;
  setHost(name: string, change: HostChange): Promise<HostState>;
}

const ferryOf = (ferry: Ferry): HostFerry => ferry as Ferry & HostFerry;

async function list(session: Session, facts: boolean): Promise<void> {
  const hosts = await session.withFerry((ferry) => ferry.hosts({ facts }));
  if (session.output === 'json') session.printJson(hosts);
  else session.print(facts ? hostFactLines(hosts, session.view) : hostLines(hosts, session.view));
}

async function show(session: Session, name: string): Promise<void> {
  const host = await session.withFerry((ferry) => ferryOf(ferry).host(name));
  if (session.output === 'json') session.printJson(host);
  else session.print(hostDetailLines(host, session.view));
}

async function change(
  session: Session,
  name: string,
  { wish, said }: { wish: HostChange; said: string },
): Promise<void> {
  const state = await session.withFerry((ferry) => ferryOf(ferry).setHost(name, wish));
  if (session.output === 'json') session.printJson(state);
  else session.print([`${harmless(name)} ${said}`]);
}

interface SetFlags {
  label: string[];
  removeLabel: string[];
  movesIn?: number;
  movesOut?: number;
  bandwidthUp?: number;
  bandwidthDown?: number;
  migrationAddress?: string;
  vcpuRatio?: number;
}

function wishOf(flags: SetFlags): HostChange {
  const limits = {
    ...(flags.movesIn === undefined ? {} : { movesIn: flags.movesIn }),
    ...(flags.movesOut === undefined ? {} : { movesOut: flags.movesOut }),
    ...(flags.bandwidthUp === undefined ? {} : { upBytesPerSecond: flags.bandwidthUp }),
    ...(flags.bandwidthDown === undefined ? {} : { downBytesPerSecond: flags.bandwidthDown }),
  };
  const wish: HostChange = {
    ...(flags.label.length === 0 ? {} : { labels: Object.fromEntries(flags.label.map(labelOf)) }),
    ...(flags.removeLabel.length === 0 ? {} : { withoutLabels: flags.removeLabel }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(flags.migrationAddress === undefined ? {} : { migrationAddress: flags.migrationAddress }),
    ...(flags.vcpuRatio === undefined ? {} : { vcpuRatio: flags.vcpuRatio }),
  };
  if (Object.keys(wish).length > 0) return wish;
  throw usageError('nothing to set', 'See `vmferry hosts set --help` for what can be set.');
}

/** `key=value`, or `key` alone for a label without a value. */
function labelOf(text: string): [string, string] {
  const at = text.indexOf('=');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function readCount(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number.');
}

function readRatio(text: string): number {
  if (/^\d{1,4}(\.\d{1,3})?$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a number, as in 4 or 1.5.');
}

/** `vmferry hosts [--facts]`, `vmferry hosts show|enable|disable|set NAME`. */
export const hostsCommand = (session: Session): Command => {
  const hosts = new Command('hosts')
    .summary('the hosts, and what is set of them')
    .description(
      'Lists the hosts as they are remembered: whether their workers answer, whether they take VMs, how full they are, ' +
        'and how many moves of how many they may have are under way.',
    );
  // A command of its own, so that `--facts` and `-o` after another one are not taken for the list's.
  hosts
    .command('list', { isDefault: true })
    .summary('list them; the same without `list`')
    .option('--facts', 'ask each host for its guard, versions, memory and pools')
    .addOption(outputOption())
    .action((options: { facts?: true }) => list(session, options.facts === true));
  hosts
    .command('show')
    .summary('show all that is remembered of one host')
    .argument('<host>', 'its name')
    .addOption(outputOption())
    .action((name: string) => show(session, name));
  hosts
    .command('enable')
    .summary('let a host take VMs again')
    .argument('<host>', 'its name')
    .addOption(outputOption())
    .action((name: string) =>
      change(session, name, { wish: { enabled: true }, said: 'takes VMs.' }),
    );
  hosts
    .command('disable')
    .summary('let no new move go to a host; those under way go on, and so do moves away from it')
    .argument('<host>', 'its name')
    .addOption(outputOption())
    .action((name: string) =>
      change(session, name, {
        wish: { enabled: false },
        said: 'takes no new moves; those under way go on.',
      }),
    );
  hosts.addCommand(setCommand(session));
  return hosts;
};

const setCommand = (session: Session): Command =>
  new Command('set')
    .summary('change labels and limits of a host')
    .description(
      'Changes what is named; all else stays. It holds at once, also for moves under way.',
    )
    .argument('<host>', 'its name')
    .option('--label <key=value>', 'give it a label; may be given several times', collect, [])
    .option('--remove-label <key>', 'take a label away; may be given several times', collect, [])
    .option('--moves-in <number>', 'moves towards it at a time, 0 to 32', readCount)
    .option('--moves-out <number>', 'moves away from it at a time, 0 to 32', readCount)
    .option(
      '--bandwidth-up <rate>',
      'what leaves it, over all moves, as 1Gbit/s; 0 is none',
      readRate,
    )
    .option('--bandwidth-down <rate>', 'what comes to it, over all moves; 0 is none', readRate)
    .option(
      '--migration-address <address>',
      'where live moves reach it; empty: as configured there',
    )
    .option('--vcpu-ratio <number>', 'vCPUs that may run for each of its CPUs', readRatio)
    .addOption(outputOption())
    .action((name: string, flags: SetFlags) =>
      change(session, name, {
        wish: wishOf(flags),
        said: 'is set.',
      }),
    );
