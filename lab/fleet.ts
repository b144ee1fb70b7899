import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { findTemporalCli } from '../config/temporal-binary.ts';
import type { Lab } from './lab.ts';
import type { LabHost } from './host.ts';
import { Supervised } from './supervised.ts';
import { waitUntil } from './wait.ts';

/** Where the hosts of a lab find Temporal: a door from their network to the machine's loopback. */
const insidePort = 7233;
const cli = fileURLToPath(new URL('../cli/main.ts', import.meta.url));

export interface FleetOptions {
  lab: Lab;
  /** Folder for configuration, key, logs and Temporal's database; kept over runs. */
  dir: string;
  /** Preferred ports of Temporal and its UI; free ones by default. */
  ports?: { temporal: number; ui: number };
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
            env: { ...process.env, VMFERRY_BUILD_ID: 'lab' },
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
    const say = options.onStep ?? (() => undefined);
    await mkdir(join(options.dir, 'logs'), { recursive: true });
    const fleet = new Fleet(options, await choosePorts(options.ports));
    await fleet.#writeConfigs(options.logLevel ?? 'info');
    try {
      await fleet.startTemporal();
      say(`Temporal ${fleet.address}, UI ${fleet.uiUrl}`);
      await options.lab.forward({
        insidePort,
        to: { host: '127.0.0.1', port: fleet.#ports.temporal },
      });
      fleet.control.start();
      fleet.codec.start();
      for (const worker of fleet.hosts.values()) worker.start();
      await fleet.ready();
      say(`control worker, and host workers of ${[...fleet.hosts.keys()].join(', ')}`);
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
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

  /** Resolves when this worker has said that it polls. */
  async workerReady(worker: Supervised): Promise<void> {
    await waitUntil(() => saysReady(worker), {
      what: `the worker ${worker.name} to be ready; see ${worker.logPath}`,
      timeoutMs: 60_000,
      everyMs: 50,
    });
  }

  /** Starts Temporal if it is down, on its database; resolves when it answers. */
  async startTemporal(): Promise<void> {
    this.temporal.start();
    await waitUntil(() => answers(this.#ports.temporal), {
      what: `Temporal on port ${this.#ports.temporal}; see ${this.temporal.logPath}`,
      timeoutMs: 30_000,
      everyMs: 50,
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
          env: this.#environments.get(host.name) ?? {},
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
      { stdio: ['ignore', output, output], detached: true },
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
  const free = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
  const [temporal, ui, codec, http, metrics] = free;
  const ports = { temporal, ui, codec, http, metrics };
  if (wanted === undefined) return ports;
  return {
    ...ports,
    ...((await isFree(wanted.temporal)) ? { temporal: wanted.temporal } : {}),
    ...((await isFree(wanted.ui)) ? { ui: wanted.ui } : {}),
  };
}

const listenOn = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const taken = (server.address() as AddressInfo).port;
      server.close(() => resolve(taken));
    });
  });

const freePort = (): Promise<number> => listenOn(0);

const isFree = (port: number): Promise<boolean> =>
  listenOn(port).then(
    () => true,
    () => false,
  );

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 });
    const end = (open: boolean) => (): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
