/** A foreign host: one SSH session for all but the bytes of large disks, one libvirt connection through it, all opened when needed. */
import type { Duplex } from 'node:stream';
import { Connection } from '../../protocols/libvirt/index.ts';
import { runCommand } from '../../protocols/ssh/index.ts';
import type {
  CommandResult,
  RunOptions,
  SftpFiles,
  SshSession,
} from '../../protocols/ssh/index.ts';
import { VmFerryError } from '../../domain/errors.ts';
import { faultOf } from './faults.ts';
import { mostLaneThreads } from '../ssh/lane-pool.ts';
import { SshLane } from '../ssh/lane.ts';
import { openSocket } from '../ssh/relay.ts';
import { SshHost } from '../ssh/ssh-host.ts';
import type { RemoteKvmOptions } from './options.ts';

/** The driver's own daemon first; its socket is there where daemons are modular. */
const usualSockets = ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock'] as const;
const callTimeoutMs = 30_000;

/** Whatever a method throws is a domain error: those of `faults.ts` here and of `platforms/libvirt`. */
export class RemoteHost {
  readonly name: string;
  readonly #options: RemoteKvmOptions;
  readonly #ssh: SshHost;
  readonly #lanes: SshLane[] = [];
  #libvirt: Promise<Connection> | undefined;

  constructor(options: RemoteKvmOptions) {
    this.name = options.name;
    this.#options = options;
    this.#ssh = new SshHost(options.ssh);
  }

  /** Runs `act` with an open connection to libvirt. Nothing is tried twice here. */
  async libvirt<T>(act: (connection: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#guarded(async () => {
      signal?.throwIfAborted();
      return act(await this.#connection());
    });
  }

  /** Runs a program there, whatever its exit code. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return this.#guarded(async () => runCommand(await this.#ssh.session(), args, options));
  }

  /** Starts a command line that runs on; see `SshSession.openCommand`. */
  async start(line: string): ReturnType<SshSession['openCommand']> {
    return this.#guarded(async () => (await this.#ssh.session()).openCommand(line));
  }

  /** Opens a unix socket of the host. */
  async socket(path: string, signal?: AbortSignal): Promise<Duplex> {
    return this.#guarded(async () =>
      openSocket(await this.#ssh.session(), path, { host: this.name, signal }),
    );
  }

  /** The host's files; one channel for all of them. */
  async files(): Promise<SftpFiles> {
    return this.#guarded(() => this.#ssh.files());
  }

  /** Up to `count` lanes, for many bytes: all disks of the host share them. */
  lanes(count: number): SshLane[] {
    const most = Math.min(count, mostLaneThreads);
    while (this.#lanes.length < most) this.#lanes.push(new SshLane(this.#options.ssh));
    return this.#lanes.slice(0, most);
  }

  /** Ends everything; safe to call twice. A later use opens anew. */
  async close(): Promise<void> {
    const libvirt = this.#libvirt;
    this.#libvirt = undefined;
    await (await libvirt?.catch(() => undefined))?.close();
    await Promise.all(this.#lanes.splice(0).map((lane) => lane.close()));
    await this.#ssh.close();
  }

  async #guarded<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw faultOf(error, this.name);
    }
  }

  #connection(): Promise<Connection> {
    if (this.#libvirt !== undefined) return this.#libvirt;
    const opening = this.#openLibvirt();
    this.#libvirt = opening;
    const forget = (): void => {
      if (this.#libvirt === opening) this.#libvirt = undefined;
    };
    opening.then((connection) => connection.closed.then(forget), forget);
    return opening;
  }

  async #openLibvirt(): Promise<Connection> {
    const { uri = 'qemu:///system', sasl, libvirtSocket } = this.#options;
    const stream = await this.#firstSocket(
      libvirtSocket === undefined ? usualSockets : [libvirtSocket],
    );
    const login = sasl === undefined ? {} : { sasl };
    return Connection.open({ stream, uri, timeoutMs: callTimeoutMs, ...login });
  }

  async #firstSocket(paths: readonly string[]): Promise<Duplex> {
    const session = await this.#ssh.session();
    let refusal: unknown = new RangeError('no socket was named');
    for (const path of paths) {
      try {
        return await openSocket(session, path, { host: this.name });
      } catch (error) {
        if (!(error instanceof VmFerryError) || error.code !== 'remote-socket-missing') throw error;
        refusal = error;
      }
    }
    throw refusal;
  }
}
