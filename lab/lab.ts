import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { needsOperator, permanent } from '../domain/errors.ts';
import { cgroupFolder, makeCgroup, removeCgroup } from './cgroup.ts';
import { waitForConsole } from './console.ts';
import type { ConsoleWait } from './console.ts';
import { closeDoor, openDoor } from './forward.ts';
import type { Door } from './forward.ts';
import { ensureGuest } from './guest.ts';
import { LabHost } from './host.ts';
import { detachStorage, stableUuid, writeHostFiles } from './host-files.ts';
import {
  controlAddress,
  hostAddress,
  makeNetworkNamespace,
  plugIn,
  removeNetworkNamespace,
  setCable,
  setUpSwitch,
} from './network.ts';
import type { LinkState } from './network.ts';
import { endWithThisProcess, endedWithOwner } from './owner.ts';
import { ensurePki, strangerPaths } from './pki.ts';
import type { CertificatePaths } from './pki.ts';
import {
  bootId,
  namedNetworkNamespace,
  processesInNetwork,
  signalProcess,
  identify,
} from './processes.ts';
import { addSharedBlock, detachSharedBlocks, removeSharedBlock } from './shared-block.ts';
import type { SharedBlock, SharedBlockOptions } from './shared-block.ts';
import { readState, removeState, writeState } from './state.ts';
import type { ForwardState, LabState } from './state.ts';
import { createVm } from './vm.ts';
import type { LabVm, LabVmOptions } from './vm.ts';
import { waitUntil } from './wait.ts';

export interface LabOptions {
  /** Folder for everything the lab keeps; absolute, made if missing. */
  dir: string;
  /** Names its namespaces and cgroups: two labs of one machine need two names. Up to 20 of a-z, 0-9 and -. */
  name?: string;
  hosts?: readonly string[];
  /** Size of each host's storage; sparse. Default 4 GiB. */
  poolBytes?: number;
  /** Gives each host's state folder a file system of its own, of this size, so that it can be full. */
  stateBytes?: number;
  /** Gives all hosts a pool `shared`: one folder, at the same path. */
  shared?: boolean;
  /** Folder with the guest's kernel and initrd; by default the project's own is made and used. */
  guestDir?: string;
  /** True: the lab outlives the process that made it, until `down`. Default: it ends with that, however that ends. */
  stays?: boolean;
  /** A folder around `dir`, removed with all it holds when the process that made the lab has ended, if it still is there. */
  discard?: string;
  /** Told what is being done, a line a step. */
  onStep?: (line: string) => void;
}

const nameRule = /^[a-z][a-z0-9-]{0,19}$/;

function checkedOptions(options: LabOptions): { name: string; hosts: readonly string[] } {
  const { name = 'vmferry', hosts = ['alpha', 'beta'] } = options;
  const wrong = [name, ...hosts].find((word) => !nameRule.test(word) || word === 'switch');
  const problem =
    wrong !== undefined
      ? `"${wrong}" cannot name a lab or a host of one`
      : !isAbsolute(options.dir)
        ? `the lab's folder ${options.dir} is not an absolute path`
        : new Set(hosts).size !== hosts.length || hosts.length === 0 || hosts.length > 100
          ? 'a lab has 1 to 100 hosts of different names'
          : undefined;
  if (problem === undefined) return { name, hosts };
  throw permanent({
    code: 'lab-invalid-options',
    message: problem,
    remedy: 'Names are up to 20 of a-z, 0-9 and -, begin with a letter, and are not "switch".',
  });
}

/** A handful of real libvirt hosts on one machine, in namespaces that belong to this lab alone. */
export class Lab {
  readonly dir: string;
  readonly hosts: readonly LabHost[];
  /** The control side's address, in the switch's namespace; hosts reach forwarded services there. */
  readonly controlAddress = controlAddress;
  readonly #state: LabState;
  #lastWrite: Promise<void> = Promise.resolve();

  private constructor(dir: string, state: LabState) {
    this.dir = dir;
    this.#state = state;
    const surroundings = { dir, guestDir: state.guestDir, remember: () => this.#remember() };
    this.hosts = state.hosts.map((host) => new LabHost(host, surroundings));
  }

  /**
   * Makes a lab and boots its hosts. Leftovers of a lab in the same folder that is no longer alive are removed first.
   * Throws `lab-already-up`, `lab-name-taken`, `lab-host-boot-failed`; what had been made is removed then.
   */
  static async up(options: LabOptions): Promise<Lab> {
    const { name, hosts } = checkedOptions(options);
    const say = options.onStep ?? (() => undefined);
    await Lab.#clearLeftovers(options.dir);
    const guestDir = options.guestDir ?? (await ensureGuest({ onStep: say })).dir;
    await mkdir(options.dir, { recursive: true });
    const state: LabState = {
      version: 1,
      name,
      bootId: bootId(),
      guestDir,
      poolBytes: options.poolBytes ?? 4 * 1024 ** 3,
      stateBytes: options.stateBytes ?? 0,
      shared: options.shared ?? false,
      switchNetns: `${name}-switch`,
      switchInode: 0,
      hosts: hosts.map((host, index) => ({
        name: host,
        address: hostAddress(index),
        uuid: stableUuid(`host ${host}`),
        netns: `${name}-${host}`,
        netnsInode: 0,
        cgroup: '',
      })),
      forwards: [],
    };
    refuseTakenName(state);
    if (options.stays !== true) state.owner = endWithThisProcess(options);
    const lab = new Lab(options.dir, state);
    await lab.#remember();
    try {
      await lab.#build(say);
    } catch (error) {
      await lab.down().catch((alsoWrong: unknown) => {
        throw new AggregateError(
          [error, alsoWrong],
          'the lab did not come up, and could not be removed',
        );
      });
      throw error;
    }
    return lab;
  }

  /** A lab that is up already, from its state file. Throws `lab-not-up`. */
  static async attach(options: { dir: string }): Promise<Lab> {
    const state = await readState(options.dir);
    if (state?.bootId === bootId()) return new Lab(options.dir, state);
    throw needsOperator({
      code: 'lab-not-up',
      message: `no lab is up in ${options.dir}`,
      remedy: 'Start one with `vmferry lab up`.',
    });
  }

  /** Removes whatever a lab in that folder left, alive or not; does nothing if there is none. */
  static async down(options: { dir: string }): Promise<void> {
    const state = await settledState(options.dir);
    if (state !== undefined) await new Lab(options.dir, state).down();
  }

  static async #clearLeftovers(dir: string): Promise<void> {
    const state = await settledState(dir);
    if (state === undefined) return;
    const lab = new Lab(dir, state);
    if (state.bootId === bootId() && lab.hosts.some((host) => host.isUp)) {
      throw permanent({
        code: 'lab-already-up',
        message: `a lab is up in ${dir} already`,
        remedy: 'Use it (`vmferry lab status`), or take it down first with `vmferry lab down`.',
      });
    }
    await lab.down();
  }

  get name(): string {
    return this.#state.name;
  }
  /** Name of the switch's network namespace, where the control side may run. */
  get switchNetns(): string {
    return this.#state.switchNetns;
  }
  /** Kernel and initrd on the machine; inside hosts they are at /usr/share/vmferry-guest. */
  get guestDir(): string {
    return this.#state.guestDir;
  }
  /** A certificate that claims to be the first host, from a CA that nobody here trusts. Paths on the machine. */
  get stranger(): CertificatePaths {
    return strangerPaths(join(this.dir, 'pki'), this.hosts[0]?.name ?? '');
  }

  /** The host of that name; throws `lab-no-such-host`. */
  host(name: string): LabHost {
    const found = this.hosts.find((host) => host.name === name);
    if (found !== undefined) return found;
    throw permanent({
      code: 'lab-no-such-host',
      message: `the lab has no host ${name}`,
      remedy: `Its hosts are ${this.hosts.map((host) => host.name).join(', ')}.`,
    });
  }

  /** Defines a guest on a host, with its data disk filled. It is off. */
  createVm(host: string, options: LabVmOptions): Promise<LabVm> {
    return createVm(this.host(host), options);
  }

  /** Resolves when the console of a VM shows the text; throws `lab-timeout` with the console's last lines. */
  waitForConsole(
    host: string,
    vm: string,
    text: RegExp,
    wait: ConsoleWait,
  ): Promise<RegExpExecArray> {
    return waitForConsole(this.host(host), vm, text, wait);
  }

  /** Opens 198.51.100.1:insidePort to the hosts; it leads to a service of the machine. */
  async forward(options: {
    insidePort: number;
    to: { host: string; port: number };
  }): Promise<void> {
    await this.#open({
      key: `forward-${options.insidePort}`,
      listen: 'lab',
      listenOn: { host: controlAddress, port: options.insidePort },
      to: options.to,
    });
  }

  /** Opens 127.0.0.1:outsidePort of the machine; it leads to a port of a host. */
  async expose(options: { outsidePort: number; host: string; port: number }): Promise<void> {
    await this.#open({
      key: `expose-${options.outsidePort}`,
      listen: 'machine',
      listenOn: { host: '127.0.0.1', port: options.outsidePort },
      to: { host: this.host(options.host).address, port: options.port },
    });
  }

  /** Caps, cuts or mends a host's cable. */
  async setLink(host: string, link: LinkState): Promise<void> {
    const { netns } = this.host(host);
    const index = this.hosts.findIndex((each) => each.name === host);
    await setCable({ switchNetns: this.switchNetns, hostNetns: netns, index }, link);
  }

  /** Gives every host that is up a block device `/dev/vmferry/<name>`; all of them are one disk. */
  addSharedBlock(options: SharedBlockOptions): Promise<SharedBlock> {
    return addSharedBlock(this, options);
  }
  /** Takes such a device away, with its content. Nothing may use it any more. */
  removeSharedBlock(name: string): Promise<void> {
    return removeSharedBlock(this, name);
  }

  /** Removes the lab: its processes, namespaces, mounts, loop devices, cgroups. Folders stay, for a look at the logs. */
  async down(): Promise<void> {
    if (this.#state.bootId === bootId()) {
      for (const forward of this.#state.forwards) await closeDoor(this.dir, forward);
      await Promise.all(this.hosts.map((host) => this.#removeHost(host)));
      await detachSharedBlocks(this.dir);
      await this.#removeSwitch();
    }
    await removeState(this.dir);
  }

  /** Writes the state, one write after the other: hosts boot and end side by side. */
  #remember(): Promise<void> {
    const written = this.#lastWrite.then(() => writeState(this.dir, this.#state));
    this.#lastWrite = written.catch(() => undefined);
    return written;
  }

  async #build(say: (line: string) => void): Promise<void> {
    const pkiDir = join(this.dir, 'pki');
    await prepareCommon(this.dir, this.#state);
    say('certificates');
    await ensurePki(pkiDir, this.#state.hosts);
    say(`switch ${this.switchNetns} (${controlAddress})`);
    await makeNetworkNamespace(this.switchNetns);
    this.#state.switchInode = namedNetworkNamespace(this.switchNetns) ?? 0;
    // Written down before they are made: a maker may be killed in between, and what it made has to be found.
    for (const state of this.#state.hosts) state.cgroup = cgroupFolder(state.netns);
    await this.#remember();
    await setUpSwitch(this.switchNetns);
    for (const [index, state] of this.#state.hosts.entries()) {
      await makeNetworkNamespace(state.netns);
      state.netnsInode = namedNetworkNamespace(state.netns) ?? 0;
      if (!makeCgroup(state.cgroup)) state.cgroup = '';
      await this.#remember();
      await plugIn(this.switchNetns, state.netns, index);
    }
    // All have to end, well or not, before a failed lab can be taken down.
    const boots = await Promise.allSettled(
      this.hosts.map(async (host) => {
        const { folder, name, address, uuid } = host;
        const { poolBytes, stateBytes, shared } = this.#state;
        await writeHostFiles({
          folder,
          name,
          address,
          uuid,
          pkiDir,
          poolBytes,
          stateBytes,
          shared,
          neighbours: this.hosts,
        });
        await host.boot();
        say(`host ${name} (${address}), holder ${host.pid}`);
      }),
    );
    const failed = boots.find((boot) => boot.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    if (this.hosts.some((host) => host.cgroup === '')) {
      say('no cgroups of our own here: hosts cannot be frozen or killed as a whole');
    }
  }

  async #open(door: Omit<Door, 'dir' | 'switchNetns'>): Promise<void> {
    const known = this.#state.forwards.find((forward) => forward.key === door.key);
    if (known !== undefined) await closeDoor(this.dir, known);
    const state: ForwardState = { key: door.key, processes: [] };
    this.#state.forwards = [
      ...this.#state.forwards.filter((forward) => forward.key !== door.key),
      state,
    ];
    await openDoor({ ...door, dir: this.dir, switchNetns: this.switchNetns }, async (half) => {
      state.processes.push(half);
      await this.#remember();
    });
  }

  async #removeHost(host: LabHost): Promise<void> {
    const state = this.#state.hosts.find((each) => each.name === host.name);
    if (state === undefined) return;
    if (ownsNamespace(state.netns, state.netnsInode)) {
      await host.clear();
      await removeNetworkNamespace(state.netns);
    }
    await detachStorage(host.folder);
    await waitUntil(() => removeCgroup(state.cgroup), {
      what: `cgroup ${state.cgroup} to be empty`,
      timeoutMs: 5_000,
      host: host.name,
    });
  }

  async #removeSwitch(): Promise<void> {
    const { switchNetns, switchInode } = this.#state;
    if (!ownsNamespace(switchNetns, switchInode)) return;
    for (const pid of processesInNetwork(switchInode)) {
      const found = identify(pid);
      if (found !== undefined) signalProcess(found, 'SIGKILL');
    }
    await removeNetworkNamespace(switchNetns);
  }
}

/** The state of the lab, once it is not being ended already because its owner died. */
async function settledState(dir: string): Promise<LabState | undefined> {
  await endedWithOwner((await readState(dir))?.owner);
  return readState(dir);
}

/** What all hosts see: the witness's folder, and the shared one if there is to be one. Fresh. */
async function prepareCommon(dir: string, { shared }: LabState): Promise<void> {
  for (const folder of ['witness', 'shared']) {
    await rm(join(dir, folder), { recursive: true, force: true });
  }
  await mkdir(join(dir, 'witness'));
  if (shared) await mkdir(join(dir, 'shared', 'files'), { recursive: true });
}

/**
 * Whether the name still stands for the namespace that this lab made. A namespace made but not yet recorded when its
 * maker died is ours if nothing lives in it.
 */
function ownsNamespace(name: string, inode: number): boolean {
  const now = namedNetworkNamespace(name);
  if (now === undefined) return false;
  return inode === 0 ? processesInNetwork(now).length === 0 : now === inode;
}

function refuseTakenName(state: LabState): void {
  const names = [state.switchNetns, ...state.hosts.map((host) => host.netns)];
  const taken = names.find((name) => existsSync(`/run/netns/${name}`));
  if (taken === undefined) return;
  throw permanent({
    code: 'lab-name-taken',
    message: `the network namespace ${taken} exists already, and not by this lab's doing`,
    remedy: `Give this lab another name, or take the other one down; \`ip netns pids ${taken}\` shows who lives in it.`,
  });
}
