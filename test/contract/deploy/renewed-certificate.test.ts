/** Certificates towards Temporal that change under a running worker: mutual TLS, a real server behind it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { heartbeat } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { configSchema } from '../../../config/schema.ts';
import { connectionSettings } from '../../../config/temporal-connection.ts';
import { Authority } from '../../../pki/authority.ts';
import type { TemporalAccess } from '../../../workers/process.ts';
import { certificateMark, followCertificates } from '../../../workers/renew-connection.ts';
import { GuardedHost } from '../guard/guarded-host.ts';
import { startDevServer } from '../reconcile/dev-server.ts';
import type { DevServer } from '../reconcile/dev-server.ts';
import { TlsFront } from './tls-front.ts';
import type * as workflows from './workflows.ts';

const waitMs = 30_000;
const taskQueue = 'renewed';
const role = { role: 'client', dns: [], addresses: [] } as const;

let dir: string;
let authority: Authority;
let server: DevServer;
let front: TlsFront;
let client: Client;
let access: TemporalAccess;
let worker: Worker;
let running: Promise<void>;
let following: Promise<void>;
/** Of the certificate that the worker in this process uses by now. */
let newest = '';
let first: Awaited<ReturnType<Authority['issue']>>;
const over = new AbortController();
const logged: { level: string; message: string }[] = [];
const gates = new Map<
  string,
  { begun: () => void; release: () => void; open: Promise<undefined> }
>();

/** Answers once its gate is open, and beats meanwhile. */
export async function held(word: string): Promise<string> {
  const gate = gates.get(word);
  gate?.begun();
  const beats = setInterval(() => heartbeat(), 500);
  await gate?.open;
  clearInterval(beats);
  return `${word}, held`;
}

const quiet = (): void => undefined;
const file = (name: string): string => join(dir, name);
const log = (level: string) => (_: unknown, message?: string) => {
  logged.push({ level, message: message ?? '' });
};
const lines = (level: string): number => logged.filter((line) => line.level === level).length;
const until = (check: () => void): Promise<void> =>
  vi.waitFor(check, { timeout: waitMs, interval: 20 });
const ask = (word: string): Promise<string> =>
  client.workflow.execute<typeof workflows.asks>('asks', {
    ...{ taskQueue, workflowId: randomUUID(), args: [word] },
    workflowExecutionTimeout: waitMs,
  });

beforeAll(async () => {
  Runtime.install({
    logger: { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  dir = await mkdtemp(join(tmpdir(), 'vmferry-renew-'));
  authority = new Authority({ dir: file('ca'), keyBits: 2048 });
  await authority.init();
  server = await startDevServer();
  const { caCert: ca } = await authority.trust();
  const of = { role: 'temporal', name: 'temporal', dns: [], addresses: ['127.0.0.1'] } as const;
  const { cert, key } = await authority.issue(of);
  front = await TlsFront.open({ upstream: server.address, ca, cert, key });
  client = new Client({ connection: await Connection.connect({ address: server.address }) });
  first = await authority.issue({ ...role, name: 'worker' });
  await writeFile(file('ca.pem'), ca);
  await writeFile(file('cert.pem'), first.cert);
  await writeFile(file('key.pem'), first.key, { mode: 0o600 });

  const { temporal } = configSchema.parse({
    temporal: {
      address: front.address,
      tls: { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') },
    },
  });
  const mark = await certificateMark(temporal);
  const connection = await NativeConnection.connect(await connectionSettings(temporal));
  access = { connection, namespace: 'default', dataConverter: {} };
  const workflowsPath = new URL('workflows.ts', import.meta.url).pathname;
  worker = await Worker.create({ ...access, taskQueue, workflowsPath, activities: { held } });
  running = worker.run();
  const logger = { info: log('info'), warn: log('warn') };
  following = followCertificates({
    ...{ temporal, access, worker, logger, mark, signal: over.signal, everyMs: 50 },
  });
}, 90_000);

afterAll(async () => {
  // A worker waits for its activities.
  for (const { release } of gates.values()) release();
  over.abort();
  await following;
  worker.shutdown();
  await running;
  await access.connection.close();
  await client.connection.close();
  await front[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
}, 60_000);

it('stays with the old certificate while the new one is of no use, and goes on', async () => {
  expect([...front.serials()]).toEqual([first.facts.serial]);
  const other = await authority.issue({ ...role, name: 'other' });
  // The certificate has come, its key has not.
  await writeFile(file('cert.pem'), other.cert);
  await until(() => expect(lines('warn')).toBeGreaterThan(1));
  expect(lines('info')).toBe(0);
  expect(await ask('old')).toBe('old, held');

  await writeFile(file('cert.pem'), first.cert);
  expect(await ask('as before')).toBe('as before, held');
});

it('goes over to a renewed certificate; an activity under way ends, and the old is needed no more', async () => {
  const begun = Promise.withResolvers<undefined>();
  const gate = Promise.withResolvers<undefined>();
  const release = (): void => gate.resolve(undefined);
  gates.set('long', { begun: () => begun.resolve(undefined), release, open: gate.promise });
  const long = ask('long');
  await begun.promise;

  const before = access.connection;
  const renewed = await authority.renew('worker');
  await writeFile(file('cert.pem'), renewed.cert);
  await until(() => expect(lines('info')).toBe(1));
  expect(access.connection).not.toBe(before);
  expect([...front.serials()]).toContain(renewed.facts.serial);

  front.turnAway(first.facts.serial);
  release();
  expect(await long).toBe('long, held');
  expect(await ask('new')).toBe('new, held');
  newest = renewed.facts.serial;
  expect([...front.serials()]).toEqual([newest]);
});

/** A worker's own process, with a certificate of its own that can be renewed. */
class WorkerProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #said = '';

  private constructor(name: string, config: string) {
    this.#name = name;
    const bin = fileURLToPath(new URL('../../../bin/vmferry', import.meta.url));
    this.#child = spawn(bin, ['--config', config, name], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, VMFERRY_BUILD_ID: 'renewed' },
    });
    this.#exited = once(this.#child, 'exit');
    this.#child.stderr?.on('data', (text: Buffer) => (this.#said += text.toString()));
  }

  static async start(name: 'control' | 'host', more: string[]): Promise<WorkerProcess> {
    const { cert, key } = await authority.issue({ ...role, name });
    await writeFile(file(`${name}-cert.pem`), cert);
    await writeFile(file(`${name}-key.pem`), key, { mode: 0o600 });
    const own = {
      ca: file('ca.pem'),
      cert: file(`${name}-cert.pem`),
      key: file(`${name}-key.pem`),
    };
    const payloads = { active: 'k1', keys: [{ id: 'k1', key: `file:${file('payload.key')}` }] };
    await writeFile(
      file(`${name}.yaml`),
      [
        `temporal: { address: "${front.address}", tls: ${JSON.stringify(own)} }`,
        `encryption: ${JSON.stringify(payloads)}`,
        ...more,
      ].join('\n'),
    );
    return new WorkerProcess(name, file(`${name}.yaml`));
  }

  async hears(words: string): Promise<void> {
    await until(() => expect(this.#said).toContain(words));
  }

  /** Serial number of the new one. */
  async renew(): Promise<string> {
    const { cert, facts } = await authority.renew(this.#name);
    await writeFile(file(`${this.#name}-cert.pem`), cert);
    return facts.serial;
  }

  async end(signal: NodeJS.Signals): Promise<unknown> {
    this.#child.kill(signal);
    return this.#exited;
  }
}

it('goes over in the processes of a control and a host worker, which then end in order', async () => {
  await writeFile(file('payload.key'), randomBytes(32).toString('base64'), { mode: 0o600 });
  const libvirt = await GuardedHost.start();
  const { stateDir, hooksDir, daemon } = libvirt;
  const host = {
    ...{ name: 'alpha', migrationAddress: '127.0.0.1', stateDir, hooksDir },
    libvirt: { socket: daemon.unixPath },
  };
  const processes: WorkerProcess[] = [];
  try {
    processes.push(await WorkerProcess.start('control', []));
    processes.push(await WorkerProcess.start('host', [`host: ${JSON.stringify(host)}`]));
    for (const one of processes) await one.hears('worker is ready');
    const before = front.serials();
    const serials = await Promise.all(processes.map((one) => one.renew()));
    for (const one of processes) await one.hears('uses renewed certificates towards Temporal');
    for (const serial of before) if (serial !== newest) front.turnAway(serial);
    expect([...front.serials()]).toEqual(expect.arrayContaining(serials));
    for (const one of processes) expect(await one.end('SIGTERM')).toEqual([0, null]);
  } finally {
    for (const one of processes) await one.end('SIGKILL');
    await libvirt.stop();
  }
}, 120_000);
