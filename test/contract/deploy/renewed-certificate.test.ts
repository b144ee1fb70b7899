/** Certificates towards Temporal that change under a running worker: mutual TLS, a real server behind it. */
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
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
let first: Awaited<ReturnType<Authority['issue']>>;
const over = new AbortController();
const logged: { level: string; message: string }[] = [];
const gates = new Map<string, { begun: () => void; open: Promise<undefined> }>();

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
  gates.set('long', { begun: () => begun.resolve(undefined), open: gate.promise });
  const long = ask('long');
  await begun.promise;

  const before = access.connection;
  const renewed = await authority.renew('worker');
  await writeFile(file('cert.pem'), renewed.cert);
  await until(() => expect(lines('info')).toBe(1));
  expect(access.connection).not.toBe(before);
  expect([...front.serials()]).toContain(renewed.facts.serial);

  front.turnAway(first.facts.serial);
  gate.resolve(undefined);
  expect(await long).toBe('long, held');
  expect(await ask('new')).toBe('new, held');
  expect([...front.serials()]).toEqual([renewed.facts.serial]);
});

it('goes over as the process of a control worker, which then ends in order', async () => {
  const name = 'control';
  const { cert, key, facts } = await authority.issue({ ...role, name });
  await writeFile(file('control-cert.pem'), cert);
  await writeFile(file('control-key.pem'), key, { mode: 0o600 });
  await writeFile(file('payload.key'), randomBytes(32).toString('base64'), { mode: 0o600 });
  await writeFile(
    file('vmferry.yaml'),
    [
      'temporal:',
      `  address: ${front.address}`,
      '  tls:',
      `    ca: ${file('ca.pem')}`,
      `    cert: ${file('control-cert.pem')}`,
      `    key: ${file('control-key.pem')}`,
      'encryption:',
      `  keys: [{ id: k1, key: "file:${file('payload.key')}" }]`,
      '  active: k1',
    ].join('\n'),
  );
  const bin = fileURLToPath(new URL('../../../bin/vmferry', import.meta.url));
  const child = spawn(bin, ['--config', file('vmferry.yaml'), 'control'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, VMFERRY_BUILD_ID: 'renewed' },
  });
  const exited = once(child, 'exit');
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  const hears = (words: string): Promise<void> =>
    until(() => expect(said.join('\n')).toContain(words));
  try {
    await hears('control worker is ready');
    expect(front.serials()).toContain(facts.serial);
    const renewed = await authority.renew(name);
    await writeFile(file('control-cert.pem'), renewed.cert);
    await hears('uses renewed certificates towards Temporal');
    front.turnAway(facts.serial);
    expect(front.serials()).toContain(renewed.facts.serial);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}, 90_000);
