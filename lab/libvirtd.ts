import { readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { transient } from '../domain/errors.ts';
import type { ExecOptions, ExecResult } from './enter.ts';
import { insidePaths } from './host-files.ts';
import { identify, namespaceOf, signalProcess } from './processes.ts';
import type { ProcessId } from './processes.ts';
import { waitUntil } from './wait.ts';

/** What the daemon needs of its host. */
export interface DaemonHost {
  readonly name: string;
  /** The host's holder. */
  readonly pid: number;
  rootOf(path: string): string;
  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult>;
}

/** The libvirt daemon of one host of the lab. */
export class Libvirtd {
  readonly #host: DaemonHost;

  constructor(host: DaemonHost) {
    this.#host = host;
  }

  /** Its process; undefined if it does not run. Never a process outside the host, whatever the pid file says. */
  find(): ProcessId | undefined {
    try {
      const pid = Number(readFileSync(this.#host.rootOf(insidePaths.libvirtdPidFile), 'utf8'));
      if (namespaceOf(pid, 'mnt') !== namespaceOf(this.#host.pid, 'mnt')) return undefined;
      return identify(pid);
    } catch {
      return undefined;
    }
  }

  /** Its pid; throws `lab-libvirtd-not-running`. */
  get pid(): number {
    return this.#process().pid;
  }

  #process(): ProcessId {
    const found = this.find();
    if (found !== undefined) return found;
    throw transient({
      code: 'lab-libvirtd-not-running',
      message: `libvirtd does not run on the lab's host ${this.#host.name}`,
      remedy: 'Start it: `host.libvirtd.start()`.',
      host: this.#host.name,
    });
  }

  /** Starts it if it does not run; resolves once it answers. Guests that ran go on running. */
  async start(): Promise<void> {
    if (this.find() === undefined) {
      const { startDaemon, libvirtdPidFile } = insidePaths;
      const command = [startDaemon, 'libvirtd', '-d', '--listen', '-p', libvirtdPidFile];
      await this.#host.exec(command, { timeoutMs: 20_000 });
    }
    await this.answers();
  }

  /** Resolves once it answers a call; throws `lab-timeout` after 30 s. */
  async answers(): Promise<void> {
    const host = this.#host;
    await waitUntil(
      async () => {
        const reply = await host.exec(['virsh', '-q', 'hostname'], {
          timeoutMs: 20_000,
          reject: false,
        });
        return reply.exitCode === 0;
      },
      {
        what: `libvirtd on ${host.name} to answer`,
        timeoutMs: 30_000,
        everyMs: 50,
        host: host.name,
      },
    );
  }

  /** Kills it with SIGKILL; resolves once it is gone. Guests stay. */
  async kill9(): Promise<void> {
    const daemon = this.#process();
    signalProcess(daemon, 'SIGKILL');
    await waitUntil(() => identify(daemon.pid)?.startTime !== daemon.startTime, {
      what: `libvirtd on ${this.#host.name} to end`,
      timeoutMs: 5_000,
      host: this.#host.name,
    });
  }

  /** Has it read its configuration and look for hooks again (SIGHUP); resolves once its log says so and it answers. */
  async reload(): Promise<void> {
    const log = this.#host.rootOf(insidePaths.libvirtdLog);
    const before = statSync(log).size;
    signalProcess(this.#process(), 'SIGHUP');
    await waitUntil(
      async () => (await tail(log, before)).includes('Reloading configuration on SIGHUP'),
      {
        what: `libvirtd on ${this.#host.name} to reload`,
        timeoutMs: 10_000,
        host: this.#host.name,
      },
    );
    await this.answers();
  }
}

async function tail(file: string, from: number): Promise<string> {
  const log = await open(file);
  try {
    const length = Math.min((await log.stat()).size - from, 1024 * 1024);
    if (length <= 0) return '';
    const { buffer } = await log.read(Buffer.alloc(length), 0, length, from);
    return buffer.toString('utf8');
  } finally {
    await log.close();
  }
}
