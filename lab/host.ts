import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { permanent, transient } from '../domain/errors.ts';
import type { ExecOptions, ExecResult, SpawnOptions } from './enter.ts';
import { isFrozen, killCgroup, setFrozen } from './cgroup.ts';
import { insidePaths } from './host-files.ts';
import { Libvirtd } from './libvirtd.ts';
import { labelOf } from './owner.ts';
import { identify, isAlive, processesInNetwork, signalProcess } from './processes.ts';
import type { ProcessId } from './processes.ts';
import type { HostState } from './state.ts';
import { timedOut, waitUntil } from './wait.ts';

/** What a host needs of its lab. */
export interface HostSurroundings {
  /** The lab's folder. */
  dir: string;
  guestDir: string;
  /** Called when the holder changed and has to be remembered. */
  remember: () => Promise<void>;
}

/** What the libvirtds of all labs learned of this machine's QEMU. */
const capabilitiesDir = fileURLToPath(
  new URL('../.tools/cache/libvirt-capabilities', import.meta.url),
);

const script = (name: string): string => join(import.meta.dirname, name);

/** One host of the lab: namespaces, folders and a libvirtd of its own, on the machine's kernel. */
export class LabHost {
  readonly #state: HostState;
  readonly #surroundings: HostSurroundings;
  readonly libvirtd: Libvirtd;
  /** Paths as seen inside. */
  readonly stateDir = insidePaths.stateDir;
  readonly poolPath = insidePaths.poolPath;
  readonly fastPoolPath = insidePaths.fastPoolPath;
  readonly sharedPoolPath = insidePaths.sharedPoolPath;
  readonly hooksDir = insidePaths.hooksDir;
  readonly pki = insidePaths.pki;

  constructor(state: HostState, surroundings: HostSurroundings) {
    this.#state = state;
    this.#surroundings = surroundings;
    this.libvirtd = new Libvirtd(this);
  }

  get name(): string {
    return this.#state.name;
  }
  /** Its address in the lab's network, from inside any host or the switch. */
  get address(): string {
    return this.#state.address;
  }
  /** libvirt's UUID of the host. */
  get uuid(): string {
    return this.#state.uuid;
  }
  /** Name of its network namespace, for `ip netns exec`. */
  get netns(): string {
    return this.#state.netns;
  }
  /** Its folder on the machine. */
  get folder(): string {
    return join(this.#surroundings.dir, 'hosts', this.name);
  }
  /** Folder of its cgroup on the machine; '' where there is none. */
  get cgroup(): string {
    return this.#state.cgroup;
  }
  get isUp(): boolean {
    return this.#state.holder !== undefined && isAlive(this.#state.holder);
  }

  get isFrozen(): boolean {
    return isFrozen(this.cgroup);
  }

  /** Pid of the process that holds its namespaces; throws `lab-host-off`. */
  get pid(): number {
    const { holder } = this.#state;
    if (holder !== undefined && isAlive(holder)) return holder.pid;
    throw transient({
      code: 'lab-host-off',
      message: `the lab's host ${this.name} is off`,
      remedy: 'Boot it again with `host.boot()`, or `vmferry lab down` and `up`.',
      host: this.name,
    });
  }

  /** Path on the machine of a path inside the host. */
  rootOf(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  /** Path on the machine of the host's libvirt socket. */
  get libvirtSocket(): string {
    return this.rootOf(insidePaths.libvirtSocket);
  }

  #enter(command: readonly string[], cwd: string): string[] {
    return [script('enter-host.sh'), String(this.pid), this.cgroup, cwd, ...command];
  }

  /** Runs a command inside and waits for its end; rejects with execa's error unless `reject` is false. */
  async exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    const result = await execa('/bin/sh', this.#enter(command, options.cwd ?? '/'), {
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
      reject: options.reject ?? true,
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    });
    const { stdout, stderr, exitCode, failed, timedOut: late } = result;
    return { stdout, stderr, exitCode, failed, timedOut: late };
  }

  /** Starts a command inside; the child's pid is the command's own, a signal to it reaches it and nothing else. */
  spawn(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn('/bin/sh', this.#enter(command, options.cwd ?? '/'), {
      stdio: options.stdio ?? 'inherit',
      detached: options.detached ?? false,
      env: { ...process.env, ...options.env },
    });
  }

  /** Stops every process of the host at once, in mid-step, and keeps its memory and sockets. */
  async freeze(): Promise<void> {
    await setFrozen(this.cgroup, this.name, true);
  }
  async thaw(): Promise<void> {
    await setFrozen(this.cgroup, this.name, false);
  }

  /**
   * Takes the host's power: every process ends at once, guests too, and its mounts go. What was written but not synced
   * survives all the same, because the machine's kernel goes on.
   */
  async kill(): Promise<void> {
    await killCgroup(this.cgroup, this.name);
    await this.#forget();
  }

  /** Switches the host on: namespaces, mounts, virtlogd, libvirtd. Its folders are as they were. */
  async boot(): Promise<void> {
    if (this.isUp) return;
    const holder = await this.#hold();
    this.#state.holder = holder;
    await this.#surroundings.remember();
    await this.exec(['virtlogd', '-d', '-p', '/run/virtlogd.pid'], { timeoutMs: 10_000 });
    await this.libvirtd.start();
  }

  async #hold(): Promise<ProcessId> {
    await mkdir(capabilitiesDir, { recursive: true });
    const log = openSync(join(this.folder, 'boot.log'), 'a');
    const names = [this.netns, this.cgroup, this.name];
    const folders = [this.#surroundings.guestDir, capabilitiesDir];
    const child = spawn('/bin/sh', [script('boot-host.sh'), ...names, ...folders], {
      cwd: this.folder,
      detached: true,
      stdio: ['ignore', log, log, 'pipe'],
      env: { PATH: process.env['PATH'], ...labelOf(this.#surroundings.dir) },
    });
    closeSync(log);
    child.unref();
    await heldBy(child, this.name, join(this.folder, 'boot.log'));
    const holder = identify(child.pid ?? 0);
    if (holder === undefined) throw bootFailed(this.name, join(this.folder, 'boot.log'));
    return holder;
  }

  /** Ends everything of the host that still lives, whether or not it was booted by this process. */
  async clear(): Promise<void> {
    if (this.cgroup !== '') await killCgroup(this.cgroup, this.name).catch(ignoreMissing);
    const inode = this.#state.netnsInode;
    await waitUntil(
      () => {
        const left = processesInNetwork(inode).map(identify);
        for (const found of left) if (found !== undefined) signalProcess(found, 'SIGKILL');
        return left.every((found) => found === undefined);
      },
      { what: `the processes of host ${this.name} to end`, timeoutMs: 10_000, host: this.name },
    );
    await this.#forget();
  }

  async #forget(): Promise<void> {
    delete this.#state.holder;
    await this.#surroundings.remember();
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

const bootFailed = (host: string, log: string): Error =>
  permanent({
    code: 'lab-host-boot-failed',
    message: `the lab's host ${host} could not be made`,
    remedy: `Read ${log}, and see what \`vmferry lab check\` says of this machine.`,
    host,
  });

/** Resolves when the script says that all is mounted. */
async function heldBy(child: ChildProcess, host: string, log: string): Promise<void> {
  const limitMs = 20_000;
  const said = child.stdio[3];
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(timedOut({ what: `host ${host} to come up`, timeoutMs: limitMs, host }, `see ${log}`));
    }, limitMs);
    said?.once('data', () => {
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', () => {
      clearTimeout(timer);
      reject(bootFailed(host, log));
    });
    child.once('error', reject);
  });
  said?.destroy();
  child.removeAllListeners();
}
