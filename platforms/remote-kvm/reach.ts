/** A foreign host: one SSH session for everything, one libvirt connection through it, both opened when needed. */
import type { Duplex } from 'node:stream';
import { Connection } from '../../protocols/libvirt/index.ts';
import { runCommand, SshSession } from '../../protocols/ssh/index.ts';
import type {
  CommandResult,
  RunOptions,
  SftpFiles,
  SshOptions,
} from '../../protocols/ssh/index.ts';
import { VmFerryError } from '../../domain/errors.ts';
import { faultOf } from './faults.ts';
import type { RemoteKvmOptions, SshLogin } from './options.ts';
import { openSocket } from './relay.ts';

/** The driver's own daemon first; its socket is there where daemons are modular. */
const usualSockets = ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock'] as const;
const callTimeoutMs = 30_000;
const maxHops = 4;
/** Four connections a disk, many disks, and libvirt's. */
const maxChannels = 1024;

/** Whatever a method throws is a domain error: those of `faults.ts` here and of `platforms/libvirt`. */
export class RemoteHost {
  readonly name: string;
  readonly #options: RemoteKvmOptions;
  #sessions: Promise<SshSession[]> | undefined;
  #libvirt: Promise<Connection> | undefined;
  #sftp: Promise<SftpFiles> | undefined;

  constructor(options: RemoteKvmOptions) {
    this.name = options.name;
    this.#options = options;
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
    return this.#guarded(async () => runCommand(await this.#session(), args, options));
  }

  /** Starts a command line that runs on; see `SshSession.openCommand`. */
  async start(line: string): ReturnType<SshSession['openCommand']> {
    return this.#guarded(async () => (await this.#session()).openCommand(line));
  }

  /** Opens a unix socket of the host. */
  async socket(path: string, signal?: AbortSignal): Promise<Duplex> {
    return this.#guarded(async () =>
      openSocket(await this.#session(), path, { host: this.name, signal }),
    );
  }

  /** The host's files; one channel for all of them. */
  async files(): Promise<SftpFiles> {
    return this.#guarded(async () => {
      if (this.#sftp !== undefined) return this.#sftp;
      const opening = this.#session().then((session) => session.openSftp());
      this.#sftp = opening;
      const forget = (): void => {
        if (this.#sftp === opening) this.#sftp = undefined;
      };
      opening.then((files) => files.once('close', forget), forget);
      return opening;
    });
  }

  /** Ends everything; safe to call twice. A later use opens anew. */
  async close(): Promise<void> {
    const [libvirt, sessions] = [this.#libvirt, this.#sessions];
    this.#libvirt = this.#sessions = this.#sftp = undefined;
    await (await libvirt?.catch(() => undefined))?.close();
    await closeAll((await sessions?.catch(() => undefined)) ?? []);
  }

  async #guarded<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw faultOf(error, this.name);
    }
  }

  async #session(): Promise<SshSession> {
    if (this.#sessions === undefined) {
      const opening = openHops(this.#options.ssh);
      this.#sessions = opening;
      const forget = (): void => {
        if (this.#sessions === opening) this.#sessions = undefined;
      };
      opening.then((sessions) => sessions.at(-1)?.closed.then(forget), forget);
    }
    const sessions = await this.#sessions;
    const last = sessions.at(-1);
    if (last === undefined) throw new RangeError('a session has at least one hop');
    return last;
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
    const session = await this.#session();
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

/** From the outermost host in between to the host itself. */
async function openHops(login: SshLogin): Promise<SshSession[]> {
  const hops: SshLogin[] = [];
  for (let at: SshLogin | undefined = login; at !== undefined && hops.length < maxHops;) {
    hops.unshift(at);
    at = at.via;
  }
  const sessions: SshSession[] = [];
  try {
    for (const { via: _, hostKeySha256, ...hop } of hops) {
      const before = sessions.at(-1);
      const options: SshOptions = {
        ...hop,
        hostKey: { sha256: hostKeySha256 },
        maxChannels,
        ...(before === undefined ? {} : { via: before }),
      };
      sessions.push(await SshSession.open(options));
    }
    return sessions;
  } catch (error) {
    await closeAll(sessions);
    throw error;
  }
}

/** The inner ones first: their goodbye goes through the outer ones. */
async function closeAll(sessions: readonly SshSession[]): Promise<void> {
  for (const session of sessions.toReversed()) await session.close();
}
