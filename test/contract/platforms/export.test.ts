import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { dhParams } from '../../../domain/dh-group.ts';
import { Exports } from '../../../platforms/libvirt/export.ts';
import type { ExportRecord, ExportRequest } from '../../../platforms/libvirt/export.ts';
import { LocalNbdServers } from '../../../platforms/libvirt/local-nbd.ts';
import { startTimeOf, within } from '../../../platforms/libvirt/process.ts';
import { makePki } from './pki.ts';
import type { Pki } from './pki.ts';

const run = promisify(execFile);
const moveId = 'migrate/lab/7d9e6a4c';
const ports = { first: 24_100 + (process.pid % 500) * 8, last: 24_107 + (process.pid % 500) * 8 };

let dir: string;
let stateDir: string;
let pki: Pki;
let raw: string;
let exports: Exports;

const make = (more: Partial<ConstructorParameters<typeof Exports>[0]> = {}): Exports =>
  new Exports({
    host: 'alpha',
    stateDir,
    tlsDir: pki.dirOf('alpha'),
    address: '127.0.0.1',
    ports,
    ...more,
  });
const request = (more: Partial<ExportRequest> = {}): ExportRequest => ({
  moveId,
  diskName: 'vda',
  path: raw,
  format: 'raw',
  allow: { host: 'beta' },
  ...more,
});
const uri = ({ port, exportName }: ExportRecord, as: string): string =>
  `nbds://127.0.0.1:${port}/${exportName}?tls-certificates=${pki.dirOf(as)}&tls-hostname=alpha`;
const sizeSeenBy = async (record: ExportRecord, as: string): Promise<string> =>
  (await run('nbdinfo', ['--size', uri(record, as)], { timeout: 10_000 })).stdout.trim();
const isRunning = async (pid: number): Promise<boolean> => {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ' Z ');
  return !/\) [ZX] /.test(text) && text !== ' Z ';
};
const serversHere = async (): Promise<string[]> => {
  const { stdout } = await run('pgrep', [
    '-f',
    `qemu-nbd.*${stateDir.replaceAll('.', '\\.')}`,
  ]).catch(() => ({ stdout: '' }));
  const { stdout: named } = await run('pgrep', ['-f', `qemu-nbd.*${raw}`]).catch(() => ({
    stdout: '',
  }));
  return [...new Set(`${stdout}${named}`.split('\n').filter(Boolean))];
};

beforeAll(async () => {
  dir = await mkdtemp('/tmp/vmferry-export-');
  stateDir = join(dir, 'state');
  pki = await makePki(join(dir, 'pki'), ['alpha', 'beta', 'gamma']);
  raw = join(dir, 'disk, one.img');
  await run('truncate', ['-s', '64M', raw]);
  exports = make();
});
afterEach(() => exports.removeAll(moveId));
afterAll(async () => {
  const left = await serversHere();
  await rm(dir, { recursive: true, force: true });
  expect(left).toEqual([]);
});

it('serves the disk to the one host that is allowed, and to no other', async () => {
  const record = await exports.ensure(request());
  expect(await sizeSeenBy(record, 'beta')).toBe(String(64 * 1024 ** 2));
  await expect(sizeSeenBy(record, 'gamma')).rejects.toThrow();
  const plain = `nbd://127.0.0.1:${record.port}/${record.exportName}`;
  await expect(run('nbdinfo', ['--size', plain], { timeout: 10_000 })).rejects.toThrow();
  // A refused client must not have ended the export for the right one.
  expect(await sizeSeenBy(record, 'beta')).toBe(String(64 * 1024 ** 2));
});

it('listens where it is asked to, and moves there', async () => {
  const before = await exports.ensure(request());
  const record = await exports.ensure(request({ address: '127.0.0.2' }));
  expect(record.address).toBe('127.0.0.2');
  expect(record.pid).not.toBe(before.pid);
  const reached = async (host: string): Promise<boolean> => {
    const socket = createConnection({ host, port: record.port });
    try {
      return await once(socket, 'connect').then(() => true);
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  };
  expect([await reached('127.0.0.1'), await reached('127.0.0.2')]).toEqual([false, true]);
  expect((await exports.ensure(request({ address: '127.0.0.2' }))).pid).toBe(record.pid);
});

it('compares a whole distinguished name as GnuTLS prints it', async () => {
  const record = await exports.ensure(request({ allow: { dn: 'CN=gamma' } }));
  expect(await sizeSeenBy(record, 'gamma')).toBe(String(64 * 1024 ** 2));
  await expect(sizeSeenBy(record, 'beta')).rejects.toThrow();
});

it('refuses writes', async () => {
  const record = await exports.ensure(request());
  const { stdout } = await run('nbdinfo', [uri(record, 'beta')]);
  expect(stdout).toContain('is_read_only: true');
});

it('finds its own export again, also by another worker, and does not double it', async () => {
  const [first, same] = await Promise.all([exports.ensure(request()), exports.ensure(request())]);
  const again = await make().ensure(request());
  expect(same).toEqual(first);
  expect(again).toEqual(first);
  expect(await serversHere()).toEqual([String(first.pid)]);
});

it('starts a new one, and ends the old, if another host is to read it', async () => {
  const first = await exports.ensure(request());
  const second = await exports.ensure(request({ allow: { host: 'gamma' } }));
  expect(second.pid).not.toBe(first.pid);
  expect(await isRunning(first.pid)).toBe(false);
  expect(await sizeSeenBy(second, 'gamma')).toBe(String(64 * 1024 ** 2));
});

it('starts again after the server was killed', async () => {
  const first = await exports.ensure(request());
  process.kill(first.pid, 'SIGKILL');
  expect(await within(5_000, () => startTimeOf(first.pid) === undefined)).toBe(true);
  const second = await exports.ensure(request());
  expect(second.pid).not.toBe(first.pid);
  expect(await sizeSeenBy(second, 'beta')).toBe(String(64 * 1024 ** 2));
});

it('survives a kill -9 of the worker that opened it', async () => {
  const script = `
    import { Exports } from ${JSON.stringify(join(import.meta.dirname, '../../../platforms/libvirt/export.ts'))};
    const exports = new Exports(${JSON.stringify({ host: 'alpha', stateDir, tlsDir: pki.dirOf('alpha'), address: '127.0.0.1', ports })});
    console.log(JSON.stringify(await exports.ensure(${JSON.stringify(request())})));
    setInterval(() => undefined, 1000);`;
  const worker = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(worker.stdout, 'data')) as [Buffer];
  const record = JSON.parse(line.toString()) as ExportRecord;
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  expect(await sizeSeenBy(record, 'beta')).toBe(String(64 * 1024 ** 2));
  expect(await exports.ensure(request())).toEqual(record);
});

it('ends a server whose record was lost, and opens one anew', async () => {
  const first = await exports.ensure(request());
  await rm(join(stateDir, 'exports'), { recursive: true });
  const second = await exports.ensure(request());
  expect(second.pid).not.toBe(first.pid);
  expect(await serversHere()).toEqual([String(second.pid)]);
});

it('does not touch a foreign process that now has the recorded PID', async () => {
  const record = await exports.ensure(request());
  const stranger = spawn('sleep', ['60']);
  const file = (await readdir(join(stateDir, 'exports'))).find((name) => name.endsWith('.json'))!;
  const stale = { ...record, pid: stranger.pid };
  await writeFile(join(stateDir, 'exports', file), JSON.stringify(stale));
  await exports.remove(moveId, 'vda');
  expect(stranger.exitCode).toBeNull();
  expect(await isRunning(stranger.pid!)).toBe(true);
  expect(await isRunning(record.pid)).toBe(false);
  stranger.kill('SIGKILL');
  await once(stranger, 'exit');
});

it('steps over ports that are taken, and says when none is left', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as AddressInfo;
  const narrow = make({ ports: { first: port, last: port } });
  await expect(narrow.ensure(request())).rejects.toMatchObject({
    code: 'no-free-port',
    handling: 'transient',
    host: 'alpha',
  });
  blocker.close();
  const two = await Promise.all(
    ['vda', 'vdb', 'vdc'].map((diskName) => exports.ensure(request({ diskName }))),
  );
  expect(new Set(two.map((record) => record.port)).size).toBe(3);
});

it('lists what serves, and removes twice without complaint', async () => {
  const record = await exports.ensure(request());
  expect(await exports.list()).toEqual([{ ...record, serving: true }]);
  await exports.remove(moveId, 'vda');
  await exports.remove(moveId, 'vda');
  expect(await exports.list()).toEqual([]);
  expect(await readdir(join(stateDir, 'exports'))).toEqual([]);
  expect(await isRunning(record.pid)).toBe(false);
});

it.each([
  ['a missing disk', { path: '/nowhere/disk.img' }, 'disk-missing', 'permanent'],
  ['a relative path', { path: 'nbd://192.0.2.1/x' }, 'path-unusable', 'permanent'],
  [
    'a move that leads out of the folder',
    { moveId: '../../etc\0' },
    'export-name-unusable',
    'permanent',
  ],
])('refuses %s', async (_what, more, code, handling) => {
  await expect(exports.ensure(request(more))).rejects.toMatchObject({ code, handling });
  expect(await serversHere()).toEqual([]);
});

it('serves with Diffie-Hellman parameters that are at hand, and what the administrator renews', async () => {
  const { pid } = await exports.ensure(request());
  const folder = /dir=([^,]+)/.exec(await readFile(`/proc/${pid}/cmdline`, 'utf8'))?.[1] ?? '';
  expect(await readFile(join(folder, 'dh-params.pem'), 'utf8')).toBe(dhParams);
  for (const name of ['ca-cert.pem', 'server-cert.pem', 'server-key.pem']) {
    expect(await realpath(join(folder, name))).toBe(join(pki.dirOf('alpha'), name));
  }
  const own = join(dir, 'own-parameters');
  await cp(pki.dirOf('alpha'), own, { recursive: true });
  await writeFile(join(own, 'dh-params.pem'), dhParams);
  const other = await make({ tlsDir: own }).ensure(request({ diskName: 'vdb' }));
  expect(await readFile(`/proc/${other.pid}/cmdline`, 'utf8')).toContain(`dir=${own},`);
});

it('says what is wrong with certificates', async () => {
  await expect(make({ tlsDir: join(dir, 'none') }).ensure(request())).rejects.toMatchObject({
    code: 'source-tls-refused',
    handling: 'needs-operator',
    message: expect.stringMatching(/alpha.*disk, one\.img.*none/) as string,
  });
});

it('refuses a qcow2 image that another process has open to write', async () => {
  const path = join(dir, 'busy.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, '16M']);
  const servers = new LocalNbdServers({ host: 'alpha', stateDir });
  const writer = await servers.open({ path, format: 'qcow2', readOnly: false, cacheNone: false });
  const refused = await exports
    .ensure(request({ path, format: 'qcow2' }))
    .catch((error: unknown) => error);
  await writer.close();
  expect(refused).toMatchObject({ code: 'disk-in-use', handling: 'unsafe' });
  expect((await exports.ensure(request({ path, format: 'qcow2' }))).port).toBeGreaterThan(0);
});

it('keeps its folder to itself', async () => {
  await exports.ensure(request());
  expect((await stat(join(stateDir, 'exports'))).mode & 0o077).toBe(0);
});

it('stops waiting when it is told to, and leaves nothing running', async () => {
  await expect(exports.ensure(request(), AbortSignal.abort(new Error('enough')))).rejects.toThrow(
    'enough',
  );
  expect(await serversHere()).toEqual([]);
});
