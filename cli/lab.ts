/** `vmferry lab`: real libvirt hosts in namespaces on this machine, to try vmferry on. */
import { resolve } from 'node:path';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { parseBytes } from '../config/units.ts';
import { permanent, VmFerryError } from '../domain/errors.ts';
import { waitForConsoleChange } from '../lab/console.ts';
import { Lab } from '../lab/lab.ts';
import { checkMachine } from '../lab/requirements.ts';
import type { Shortcoming } from '../lab/requirements.ts';
import { labStatus } from '../lab/status.ts';
import type { LabHostStatus } from '../lab/status.ts';
import { outputOption } from './options.ts';

interface Where {
  dir: string;
}

interface Printed extends Where {
  output: string;
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const sayJson = (value: unknown): void => say(JSON.stringify(value, null, 2));

const dirOf = (options: Where): string => resolve(options.dir);

function readSize(text: string): number {
  try {
    return parseBytes(text);
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    throw new InvalidArgumentError(error.message);
  }
}

const readNames = (text: string): string[] => text.split(',').filter((name) => name !== '');

async function up(
  options: Printed & { name: string; hosts: string[]; pool: number },
): Promise<void> {
  const report = await checkMachine();
  if (!report.ok) throw cannotRun(report.missing);
  const started = performance.now();
  const dir = dirOf(options);
  const { name, hosts, pool } = options;
  const asJson = options.output === 'json';
  const onStep = (line: string): void => {
    if (!asJson) say(`  ${line}`);
  };
  const lab = await Lab.up({ dir, name, hosts, poolBytes: pool, stays: true, onStep });
  const tookMs = Math.round(performance.now() - started);
  if (asJson) {
    sayJson({ ...(await described(lab)), tookMs });
    return;
  }
  say(`The lab is up after ${(tookMs / 1000).toFixed(1)} s.`);
  say(
    `Try \`vmferry lab exec ${hosts[0] ?? ''} -- virsh list --all\`; \`vmferry lab down\` removes it.`,
  );
}

const cannotRun = (missing: readonly Shortcoming[]): VmFerryError =>
  permanent({
    code: 'lab-impossible-here',
    message: `no lab can be made on this machine: it lacks ${missing.map(({ what }) => what).join(', ')}`,
    remedy: 'See `vmferry lab check` for each of them and its remedy.',
  });

async function down(options: Printed): Promise<void> {
  const dir = dirOf(options);
  await Lab.down({ dir });
  if (options.output === 'json') sayJson({ dir });
  else say('No lab is up.');
}

/** As docs/schemas/lab-status.json says. */
const described = async (lab: Lab) => ({
  name: lab.name,
  dir: lab.dir,
  switchNetns: lab.switchNetns,
  hosts: await labStatus(lab),
});

function table(head: string[], rows: string[][]): string {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
  };
  const more = {
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
  };
  const chars = { ...none, ...more, right: '', 'right-mid': '', middle: '  ' };
  const style = { 'padding-left': 0, 'padding-right': 0, head: [], border: [] };
  const drawn = new Table({ head, chars, style });
  drawn.push(...rows);
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const hostRow = (host: LabHostStatus): string[] => [
  host.name,
  host.address,
  host.state,
  host.holderPid === undefined ? '-' : String(host.holderPid),
  host.libvirtdPid === undefined ? '-' : String(host.libvirtdPid),
];

async function status(options: Printed): Promise<void> {
  const lab = await Lab.attach({ dir: dirOf(options) });
  const found = await described(lab);
  const { hosts } = found;
  if (options.output === 'json') {
    sayJson(found);
    return;
  }
  say(`Lab ${lab.name} in ${lab.dir}, control side ${lab.controlAddress} in ${lab.switchNetns}\n`);
  say(table(['HOST', 'ADDRESS', 'STATE', 'HOLDER', 'LIBVIRTD'], hosts.map(hostRow)));
  const vms = hosts.flatMap((host) => host.vms.map((vm) => [vm.name, host.name, vm.state]));
  say(vms.length === 0 ? '\nNo VMs.' : `\n${table(['VM', 'HOST', 'STATE'], vms)}`);
  for (const host of hosts) if (host.problem !== '') say(`\n${host.name}: ${host.problem}`);
}

/** Runs a command in a host with this terminal; ends as the command ended. */
async function exec(host: string, command: string[], options: Where): Promise<void> {
  const lab = await Lab.attach({ dir: dirOf(options) });
  const child = lab.host(host).spawn(command, { stdio: 'inherit' });
  // Ctrl-C reaches the command by the terminal; it decides what to do with it.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  const code = await new Promise<number>((done, failed) => {
    child.once('error', failed);
    child.once('exit', (exitCode, signal) => done(exitCode ?? (signal === null ? 1 : 128)));
  });
  process.off('SIGINT', ignore);
  if (code !== 0) process.exit(code);
}

/** Shows a VM's console; with `follow` until Ctrl-C. */
async function console(
  host: string,
  vm: string,
  options: Where & { follow?: true },
): Promise<void> {
  const lab = await Lab.attach({ dir: dirOf(options) });
  let shown = 0;
  for await (const text of waitForConsoleChange(lab.host(host), vm)) {
    // A console that got shorter is that of a new run.
    if (text.length < shown) shown = 0;
    process.stdout.write(text.slice(shown));
    shown = text.length;
    if (options.follow !== true) return;
  }
}

async function check({ output }: { output: string }): Promise<void> {
  const report = await checkMachine();
  if (output === 'json') {
    sayJson(report);
    if (!report.ok) process.exit(1);
    return;
  }
  const tell = (mark: string, { what, why, remedy }: Shortcoming): void => {
    say(`${mark} ${what}: ${why}.\n  ${remedy}`);
  };
  for (const shortcoming of report.missing) tell('✗', shortcoming);
  for (const shortcoming of report.limited) tell('!', shortcoming);
  say(report.ok ? '✓ A lab can be made on this machine.' : 'No lab can be made on this machine.');
  if (!report.ok) process.exit(1);
}

/** `vmferry lab up|down|status|exec|console|check`; `env` gives the default of `--dir`. */
export function labCommand(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Command {
  const lab = new Command('lab').summary('hosts in namespaces on this machine, to try vmferry on');
  const command = (name: string, summary: string): Command =>
    lab
      .command(name)
      .summary(summary)
      .description(summary)
      .option('--dir <folder>', "the lab's folder", env['VMFERRY_LAB_DIR'] ?? '.vmferry/lab');
  command('up', 'make the hosts')
    .option('--name <name>', 'tells labs of one machine apart', 'vmferry')
    .option('--hosts <names>', 'names with commas between', readNames, ['alpha', 'beta'])
    .option('--pool <size>', 'storage of each host; sparse', readSize, 4 * 1024 ** 3)
    .addOption(outputOption())
    .action(up);
  command('down', 'remove the lab and all that runs in it').addOption(outputOption()).action(down);
  command('status', 'show hosts and VMs').addOption(outputOption()).action(status);
  command('exec', 'run a command in a host')
    .argument('<host>')
    .argument('<command...>', 'after --')
    .usage('[options] <host> -- <command...>')
    .action(exec);
  command('console', "show a VM's console")
    .argument('<host>')
    .argument('<vm>')
    .option('-f, --follow', 'go on until Ctrl-C')
    .action(console);
  lab
    .command('check')
    .summary('say whether this machine can be a lab')
    .description('say whether this machine can be a lab, and what to do if not')
    .addOption(outputOption())
    .action(check);
  return lab;
}
