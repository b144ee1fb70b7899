import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { Connection } from '@temporalio/client';
import { findTemporalCli } from '../config/temporal-binary.ts';
import type { Lab } from './lab.ts';
import type { LabHost } from './host.ts';
import { labelOf } from './owner.ts';
import { freePorts, isFree, isOpen } from './ports.ts';
import { Supervised } from './supervised.ts';
import { waitFor } from './supervised-wait.ts';

/** Where the hosts of a lab find Temporal: a door from their network to the machine's loopback. */
const insidePort = 7233;
const cli = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
/** As bin/vmferry has it: a start takes half the processor's time, and a test's fleet is started and killed often. */
export const compileCache = {
  NODE_COMPILE_CACHE:
    process.env['NODE_COMPILE_CACHE'] ??
    fileURLToPath(new URL('../.tools/cache/node', import.meta.url)),
};
/** Somebody may take a port between the look at it and Temporal's start; other ports are tried then. */
const mostStarts = 3;

export interface FleetOptions {
  lab: Lab;
  /** Folder for configuration, key, logs and Temporal's database; kept over runs. */
  dir: string;
  /** Preferred ports of Temporal and its UI; free ones by default. */
  ports?: { temporal: number; ui: number };
  /** Whether the UI gets a codec server; default true. Who looks at no UI spares the processors another process. */
  codec?: boolean;
  logLevel?: string;
  onStep?: (line: string) => void;
}

interface Ports {
  temporal: number;
  ui: number;
  codec: number;
  http: number;
  metrics: number;
}

/** All of vmferry around a lab: Temporal's dev server, a codec server, a control worker, a worker on every host. */
export class Fleet {
  readonly lab: Lab;
  readonly dir: string;
  /** Configuration for clients on the machine. */
  readonly configPath: string;
  readonly temporal: Supervised;
  readonly control: Supervised;
  readonly codec: Supervised;
  readonly hosts: ReadonlyMap<string, Supervised>;
  readonly #ports: Ports;
  /** By host: what its worker gets beside the environment of this process, from its next start on. */
  readonly #environments = new Map<string, NodeJS.ProcessEnv>();
  #spares = 0;

  private constructor(options: FleetOptions, ports: Ports) {
    this.lab = options.lab;
    this.dir = options.dir;
    this.#ports = ports;
    this.configPath = join(options.dir, 'vmferry.yaml');
    const labelledEnvironment = { ...process.env, ...labelOf(options.lab.dir) };
    const log = (name: string): string => join(options.dir, 'logs', `${name}.log`);
    const onMachine = (name: string, args: string[]): Supervised =>
      new Supervised({
        name,
        logPath: log(name),
        restart: true,
        launch: (output) =>
          spawn(process.execPath, [cli, ...args, '--config', this.configPath], {
            stdio: ['ignore', output, output],
            detached: true,
            // One version, whatever happens to the sources: a lab has no old workers beside its new ones.
            env: { ...labelledEnvironment, ...compileCache, VMFERRY_BUILD_ID: 'lab' },
          }),
      });
    this.temporal = new Supervised({
      name: 'temporal',
      logPath: log('temporal'),
      restart: false,
      launch: (output) => this.#launchTemporal(output),
    });
    this.control = onMachine('control', ['control']);
    this.codec = onMachine('codec-server', ['codec-server']);
    this.hosts = new Map(
      options.lab.hosts.map((host) => [
        host.name,
        this.#hostWorker(host, { name: `host-${host.name}`, restart: true }),
      ]),
    );
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    await mkdir(join(options.dir, 'logs'), { recursive: true });
    for (let starts = 1; ; starts += 1) {
      const fleet = new Fleet(options, await choosePorts(options.ports));
      await fleet.#writeConfigs(options.logLevel ?? 'info');
      try {
        await fleet.startTemporal();
        return await fleet.#startWorkers(options);
      } catch (error) {
        const isLost = !fleet.temporal.isRunning && starts < mostStarts;
        await fleet.stop();
        if (!isLost) throw error;
        options.onStep?.(`Temporal ended; it is started on other ports: ${String(error)}`);
      }
    }
  }

  async #startWorkers({
    lab,
    codec = true,
    onStep: say = () => undefined,
  }: FleetOptions): Promise<this> {
    say(`Temporal ${this.address}, UI ${this.uiUrl}`);
    await lab.forward({
      insidePort,
      to: { host: '127.0.0.1', port: this.#ports.temporal },
    });
    this.control.start();
    if (codec) this.codec.start();
    for (const worker of this.hosts.values()) worker.start();
    await this.ready();
    say(`control worker, and host workers of ${[...this.hosts.keys()].join(', ')}`);
    return this;
  }
  get address(): string {
    return `127.0.0.1:${this.#ports.temporal}`;
  }
  get uiUrl(): string {
    return `http://127.0.0.1:${this.#ports.ui}`;
  }

  /** The worker of a host. */
  worker(host: string): Supervised {
    const found = this.hosts.get(host);
    if (found === undefined) throw new Error(`the fleet has no host ${host}`);
    return found;
  }

  /** Gives the worker of a host this environment from its next start on, beside that of this process. */
  setEnvironment(host: string, environment: NodeJS.ProcessEnv): void {
    this.#environments.set(host, environment);
  }

  /** One more worker of a host, as a second service started by mistake is one. The caller starts and stops it. */
  spareWorker(host: string): Supervised {
    this.#spares += 1;
    const name = `host-${host}-spare-${this.#spares}`;
    return this.#hostWorker(this.lab.host(host), { name, restart: false });
  }

  /** Resolves when this worker has said that it polls; throws `lab-timeout` with what it said last. */
  async workerReady(worker: Supervised): Promise<void> {
    await waitFor(worker, () => saysReady(worker), {
      what: `the worker ${worker.name} to be ready`,
      timeoutMs: 60_000,
      beside: [this.temporal],
    });
  }

  /** Starts Temporal if it is down, on its database; resolves when it serves the namespace. */
  async startTemporal(): Promise<void> {
    this.temporal.start();
    await waitFor(this.temporal, () => serves(this.#ports.temporal), {
      what: `Temporal on ${this.address}`,
      timeoutMs: 60_000,
    });
  }

  /** Resolves when every worker has said that it polls. */
  async ready(): Promise<void> {
    for (const worker of [this.control, ...this.hosts.values()]) await this.workerReady(worker);
  }

  /** Stops everything that `start` started; the database and the logs stay. */
  async stop(): Promise<void> {
    await Promise.all([this.control, this.codec, ...this.hosts.values()].map((one) => one.stop()));
    await this.temporal.stop();
  }

  #hostWorker(host: LabHost, { name, restart }: { name: string; restart: boolean }): Supervised {
    return new Supervised({
      name,
      logPath: join(this.dir, 'logs', `${name}.log`),
      restart,
      launch: (output) =>
        host.spawn([process.execPath, cli, 'host', '--config', this.#hostConfigPath(host)], {
          stdio: ['ignore', output, output],
          detached: true,
          env: { ...compileCache, ...this.#environments.get(host.name) },
        }),
    });
  }

  #hostConfigPath(host: LabHost): string {
    return join(this.dir, `vmferry-${host.name}.yaml`);
  }

  #launchTemporal(output: number): ChildProcess {
    const { temporal, ui, codec, http, metrics } = this.#ports;
    return spawn(
      findTemporalCli().path,
      [
        ...['server', 'start-dev', '--ip', '127.0.0.1', '--ui-ip', '127.0.0.1'],
        ...['--port', String(temporal), '--ui-port', String(ui)],
        ...['--http-port', String(http), '--metrics-port', String(metrics)],
        ...['--db-filename', join(this.dir, 'temporal.sqlite')],
        ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'],
        ...['--ui-codec-endpoint', `http://127.0.0.1:${codec}`, '--ui-disable-news-fetch'],
        ...['--log-level', 'error'],
      ],
      {
        stdio: ['ignore', output, output],
        detached: true,
        env: { ...process.env, ...labelOf(this.lab.dir) },
      },
    );
  }

  async #writeConfigs(level: string): Promise<void> {
    const keyPath = join(this.dir, 'payload.key');
    try {
      await access(keyPath);
    } catch {
      await writeFile(keyPath, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    }
    const encryption = { keys: [{ id: 'lab', key: `file:${keyPath}` }], active: 'lab' };
    const log = { level };
    await writeFile(
      this.configPath,
      stringify({
        temporal: { address: this.address },
        encryption,
        codecServer: { listen: `127.0.0.1:${this.#ports.codec}`, origins: [this.uiUrl] },
        log,
      }),
    );
    for (const host of this.lab.hosts) {
      const temporal = { address: `${this.lab.controlAddress}:${insidePort}` };
      const section = { name: host.name, migrationAddress: host.address };
      await writeFile(
        this.#hostConfigPath(host),
        stringify({ temporal, encryption, host: section, log }),
      );
    }
  }
}

/** Its log's last start has said so; a log may hold earlier runs. */
async function saysReady(worker: Supervised): Promise<boolean> {
  if (!worker.isRunning) return false;
  const text = await readFile(worker.logPath, 'utf8').catch(() => '');
  const own = text.split('\n').filter((line) => line.includes(`"pid":${worker.pid ?? 0},`));
  return own.some((line) => line.includes('worker is ready'));
}

async function choosePorts(wanted: FleetOptions['ports']): Promise<Ports> {
  const [temporal = 0, ui = 0, codec = 0, http = 0, metrics = 0] = await freePorts(5);
  const ports = { temporal, ui, codec, http, metrics };
  if (wanted === undefined) return ports;
  return {
    ...ports,
    ...((await isFree(wanted.temporal)) ? { temporal: wanted.temporal } : {}),
    ...((await isFree(wanted.ui)) ? { ui: wanted.ui } : {}),
  };
}

const askMs = 5_000;

/** Whether the server answers for the namespace that all the rest uses: an open port says less. */
async function serves(port: number): Promise<boolean> {
  // gRPC would wait a second and more before it looks again at a port that was closed.
  if (!(await isOpen(port))) return false;
  try {
    const address = `127.0.0.1:${port}`;
    const connection = await Connection.connect({ address, connectTimeout: askMs });
    try {
      await connection.withDeadline(Date.now() + askMs, () =>
        connection.workflowService.describeNamespace({ namespace: 'default' }),
      );
      return true;
    } finally {
      await connection.close();
    }
  } catch {
    return false;
  }
}
