import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LocalNbdServers } from '../../../platforms/libvirt/local-nbd.ts';
import { startTimeOf, within } from '../../../platforms/libvirt/process.ts';

const run = promisify(execFile);
let dir: string;
let stateDir: string;
let image: string;
let servers: LocalNbdServers;

const nbd = (socket: string): string => `nbd+unix:///?socket=${socket}`;
const isGone = (pid: number): boolean => startTimeOf(pid) === undefined;
const traces = async (): Promise<string[]> => readdir(join(stateDir, 'local')).catch(() => []);

beforeAll(async () => {
  // Not under /tmp where that is a tmpfs: reading past the page cache needs a real file system.
  dir = await mkdtemp('/var/tmp/vmferry-local-');
  stateDir = join(dir, 'state');
  image = join(dir, 'disk.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', image, '32M']);
  servers = new LocalNbdServers({ host: 'beta', stateDir });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it('writes a qcow2 image and reads back past the page cache', async () => {
  const writer = await servers.open({
    path: image,
    format: 'qcow2',
    readOnly: false,
    cacheNone: false,
  });
  await run('qemu-io', [
    '-f',
    'raw',
    '-c',
    'write -P 0x5a 1M 1M',
    '-c',
    'flush',
    nbd(writer.socketPath),
  ]);
  await writer.close();
  expect(isGone(writer.pid)).toBe(true);
  const reader = await servers.open({
    path: image,
    format: 'qcow2',
    readOnly: true,
    cacheNone: true,
  });
  const { stdout } = await run('qemu-io', [
    '-r',
    '-f',
    'raw',
    '-c',
    'read -P 0x5a 1M 1M',
    nbd(reader.socketPath),
  ]);
  expect(stdout).not.toContain('verification failed');
  await reader.close();
  expect(await traces()).toEqual([]);
});

it('closes a server that no client ever used', async () => {
  const server = await servers.open({
    path: image,
    format: 'qcow2',
    readOnly: true,
    cacheNone: false,
  });
  await server.close();
  expect(isGone(server.pid)).toBe(true);
  await server.close();
});

it('refuses a second writer of one image', async () => {
  const first = await servers.open({
    path: image,
    format: 'qcow2',
    readOnly: false,
    cacheNone: false,
  });
  await expect(
    servers.open({ path: image, format: 'qcow2', readOnly: false, cacheNone: false }),
  ).rejects.toMatchObject({ code: 'disk-in-use', handling: 'unsafe' });
  await first.close();
  expect(await traces()).toEqual([]);
});

it('leaves no server behind a worker that was killed before it connected', async () => {
  const script = `
    import { LocalNbdServers } from ${JSON.stringify(join(import.meta.dirname, '../../../platforms/libvirt/local-nbd.ts'))};
    const servers = new LocalNbdServers(${JSON.stringify({ host: 'beta', stateDir })});
    const { pid } = await servers.open(${JSON.stringify({ path: image, format: 'qcow2', readOnly: false, cacheNone: false })});
    console.log(pid);
    setInterval(() => undefined, 1000);`;
  const worker = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(worker.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  expect(await within(5_000, () => isGone(pid))).toBe(true);
  expect(await servers.endOrphans()).toBe(1);
  expect(await traces()).toEqual([]);
});

it('does not end the servers of a worker that lives', async () => {
  const server = await servers.open({
    path: image,
    format: 'qcow2',
    readOnly: true,
    cacheNone: false,
  });
  expect(await new LocalNbdServers({ host: 'beta', stateDir }).endOrphans()).toBe(0);
  expect(isGone(server.pid)).toBe(false);
  await server.close();
});
