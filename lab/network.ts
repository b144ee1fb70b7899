/**
 * The lab's network: a switch in a namespace of its own, and a cable (veth pair) from it into each host's `br0`.
 * Nothing of it is visible in the machine's own network.
 */
import { execa, ExecaError } from 'execa';

/** The switch's own address, where the control side listens. */
export const controlAddress = '198.51.100.1';
/** Address of the i-th host; up to 100 of them. */
export const hostAddress = (index: number): string => `198.51.100.${11 + index}`;

const switchBridge = 'sw0';
/** The host's end of its cable. */
const uplink = 'up0';
const portOf = (index: number): string => `port${index}`;

const limit = { timeout: 10_000 };

async function ipBatch(netns: string, commands: readonly string[]): Promise<void> {
  await execa('ip', ['-n', netns, '-batch', '-'], { ...limit, input: `${commands.join('\n')}\n` });
}

/**
 * How TCP paces itself in the lab, whatever this machine's owner chose, so that figures of two machines can be compared:
 * as Linux does where nobody chose otherwise. Where the owner allows that to the machine's own network alone
 * (`net.ipv4.tcp_allowed_congestion_control`), as the one does that is allowed everywhere; a cable that loses nothing
 * tells no difference.
 */
const pacings = ['cubic', 'reno'];

/** Makes a named namespace with nothing in it but a loopback. Fails if the name is taken. */
export async function makeNetworkNamespace(name: string): Promise<void> {
  await execa('ip', ['netns', 'add', name], limit);
  await choosePacing(name, pacings);
}

async function choosePacing(netns: string, [pacing, ...others]: readonly string[]): Promise<void> {
  const setting = `net.ipv4.tcp_congestion_control=${pacing ?? ''}`;
  try {
    await execa('ip', ['netns', 'exec', netns, 'sysctl', '-qw', setting], limit);
  } catch (error) {
    const isRefused =
      error instanceof ExecaError && /not permitted|No such file/.test(String(error.stderr));
    if (!isRefused || others.length === 0) throw error;
    await choosePacing(netns, others);
  }
}

/** Runs a removal; that there is nothing to remove is fine. */
async function remove(command: readonly [string, ...string[]], missing: RegExp): Promise<void> {
  const [program, ...args] = command;
  try {
    await execa(program, args, limit);
  } catch (error) {
    if (!(error instanceof ExecaError && missing.test(String(error.stderr)))) throw error;
  }
}

/** Removes a named namespace; says nothing if it is gone already. */
export const removeNetworkNamespace = (name: string): Promise<void> =>
  remove(['ip', 'netns', 'del', name], /No such file/);

export async function setUpSwitch(netns: string): Promise<void> {
  await ipBatch(netns, [
    'link set lo up',
    `link add ${switchBridge} type bridge stp_state 0 forward_delay 0`,
    `addr add ${controlAddress}/24 dev ${switchBridge}`,
    `link set ${switchBridge} up`,
  ]);
}

/** Lays the cable and gives the host its bridge, whose address is the host's. */
export async function plugIn(switchNetns: string, hostNetns: string, index: number): Promise<void> {
  const port = portOf(index);
  await ipBatch(switchNetns, [
    `link add ${port} type veth peer name ${uplink} netns ${hostNetns}`,
    `link set ${port} master ${switchBridge}`,
    `link set ${port} up`,
  ]);
  // A fixed MAC keeps the bridge from taking over the lowest one of the taps that come and go.
  const mac = `02:00:5e:10:00:${(11 + index).toString(16).padStart(2, '0')}`;
  await ipBatch(hostNetns, [
    'link set lo up',
    `link add br0 address ${mac} type bridge stp_state 0 forward_delay 0`,
    `link set ${uplink} master br0`,
    `link set ${uplink} up`,
    `addr add ${hostAddress(index)}/24 dev br0`,
    'link set br0 up',
  ]);
}

export interface LinkState {
  /** Cap in each direction, megabits a second; 0 takes the cap away. */
  mbitPerSecond?: number;
  /** False: what is sent vanishes silently, both ways, as behind a dead switch. */
  up?: boolean;
}

export interface Cable {
  switchNetns: string;
  hostNetns: string;
  index: number;
}

async function setRate(netns: string, device: string, mbitPerSecond: number): Promise<void> {
  const base = ['-n', netns, 'qdisc'];
  if (mbitPerSecond === 0) {
    await remove(['tc', ...base, 'del', 'dev', device, 'root'], /No such file|handle of zero/);
    return;
  }
  // A burst has to hold the largest segment that a veth carries, 64 KiB, and what passes in a few clock ticks.
  const burstBytes = Math.max(128 * 1024, Math.round((mbitPerSecond * 1e6) / 8 / 100));
  const filter = [
    'tbf',
    'rate',
    `${mbitPerSecond}mbit`,
    'burst',
    `${burstBytes}`,
    'latency',
    '50ms',
  ];
  await execa('tc', [...base, 'replace', 'dev', device, 'root', ...filter], limit);
}

/** Caps, cuts or mends a host's cable. */
export async function setCable(cable: Cable, state: LinkState): Promise<void> {
  const port = portOf(cable.index);
  if (state.mbitPerSecond !== undefined) {
    await setRate(cable.switchNetns, port, state.mbitPerSecond);
    await setRate(cable.hostNetns, uplink, state.mbitPerSecond);
  }
  if (state.up !== undefined) {
    await ipBatch(cable.switchNetns, [
      state.up ? `link set ${port} master ${switchBridge}` : `link set ${port} nomaster`,
    ]);
  }
}
