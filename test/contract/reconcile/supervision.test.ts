/** Disk servers outlive their worker: each is found again, none is doubled, none is left, and no stranger is ended. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Exports } from '../../../platforms/libvirt/export.ts';
import { argumentsOf } from '../../../platforms/libvirt/process.ts';
import { makePki } from '../platforms/pki.ts';

const moveId = `0f3c9a2e-${process.pid}`;
const first = 26_100 + (process.pid % 500) * 8;
const program = fileURLToPath(new URL('./export-process.ts', import.meta.url));
const disks = ['vda', 'vdb'];

let dir: string;
let path: string;
let options: ConstructorParameters<typeof Exports>[0];
let exports: Exports;

beforeAll(async () => {
  dir = await mkdtemp('/tmp/vmferry-supervision-');
  const pki = await makePki(join(dir, 'pki'), ['alpha']);
  path = join(dir, 'disk.raw');
  await writeFile(path, '');
  await truncate(path, 8 * 1024 * 1024);
  options = {
    host: 'alpha',
    stateDir: join(dir, 'state'),
    tlsDir: pki.dirOf('alpha'),
    address: '127.0.0.1',
    ports: { first, last: first + 7 },
  };
  exports = new Exports(options);
});
afterEach(async () => {
  await exports.removeAll(moveId);
  expect(await servers()).toEqual([]);
  expect(await files()).toEqual([]);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const worker = (rounds?: number): ChildProcess =>
  spawn(process.execPath, [program, JSON.stringify({ ...options, moveId, disks, path, rounds })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
/** Servers of this test's disk, by the name of their export: what `ps` would show, whatever any record says. */
async function servers(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(pids.map((pid) => argumentsOf(Number(pid))));
  return all
    .filter((argv) => argv[0]?.endsWith('qemu-nbd') === true && argv.includes(path))
    .map((argv) => argv[argv.indexOf('-x') + 1] ?? '')
    .sort();
}
const files = async (): Promise<string[]> =>
  readdir(join(options.stateDir, 'exports')).catch(() => []);
const request = (diskName: string) =>
  ({ moveId, diskName, path, format: 'raw', allow: { host: 'beta' } }) as const;
const recordPath = (diskName: string): string =>
  join(options.stateDir, 'exports', `${encodeURIComponent(`${moveId}:${diskName}`)}.json`);
const names = disks.map((disk) => `vmferry:${moveId}:${disk}`);

it(
  'has at most one server an export over 20 workers that are killed at any moment',
  { timeout: 240_000 },
  async () => {
    let mostSeen = 0;
    for (let round = 0; round < 20; round += 1) {
      const child = worker();
      const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
      // Before the first server, between the two, after both: and then some time into what comes next.
      for (let line = 0; line <= round % 3; line += 1) await lines.next();
      await delay(round * 12);
      child.kill('SIGKILL');
      await once(child, 'close');
      const now = await servers();
      mostSeen = Math.max(mostSeen, now.length);
      expect(new Set(now).size, now.join(' ')).toBe(now.length);
    }
    expect(mostSeen).toBe(disks.length);
    const found = await Promise.all(disks.map((disk) => exports.ensure(request(disk))));
    expect(await servers()).toEqual(names);
    for (const { port } of found) expect(port).toBeGreaterThanOrEqual(first);
  },
);

it('two workers at once share one server an export', { timeout: 120_000 }, async () => {
  const both = [worker(3), worker(3)];
  const said = await Promise.all(
    both.map(async (child) => {
      let text = '';
      child.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part));
      expect((await once(child, 'close'))[0]).toBe(0);
      return new Set(text.split('\n').filter((line) => line.startsWith('vd')));
    }),
  );
  expect(await servers()).toEqual(names);
  expect(said[0]).toEqual(said[1]);
  expect(said[0]?.size).toBe(disks.length);
});

it('starts anew what a record tells of and nobody serves', async () => {
  const before = await exports.ensure(request('vda'));
  process.kill(before.pid, 'SIGKILL');
  await expect.poll(servers, { timeout: 10_000 }).toEqual([]);
  const after = await exports.ensure(request('vda'));
  expect(after.pid).not.toBe(before.pid);
  expect(await servers()).toEqual([names[0]]);
});

it('forgets what a killed writer left beside a record', async () => {
  await exports.ensure(request('vda'));
  await writeFile(`${recordPath('vda')}.4711.tmp`, '{"mo');
  await writeFile(`${recordPath('vdb')}.4711.tmp`, '{"mo');
  // `afterEach` finds no file.
});

it.each([
  ['that has no record', () => rm(recordPath('vda'))],
  ['whose record is half written', () => truncate(recordPath('vda'), 20)],
  ['whose record is empty after a power cut', () => truncate(recordPath('vda'), 0)],
])('ends a server %s with the others of its move', async (_, damage) => {
  await exports.ensure(request('vda'));
  await exports.ensure(request('vdb'));
  await damage();
  expect(await exports.names()).toContainEqual({ moveId, diskName: 'vda' });
  // `afterEach` asks for nothing else and finds neither server nor file.
});

it('replaces a server whose record is half written, and does not double it', async () => {
  await exports.ensure(request('vda'));
  await truncate(recordPath('vda'), 20);
  await exports.ensure(request('vda'));
  expect(await servers()).toEqual([names[0]]);
});

it('never ends another process that has the recorded number now', async () => {
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(stranger, 'spawn');
  try {
    const { pid } = await exports.ensure(request('vda'));
    const record = JSON.parse(await readFile(recordPath('vda'), 'utf8')) as object;
    process.kill(pid, 'SIGKILL');
    await expect.poll(servers, { timeout: 10_000 }).toEqual([]);
    // As after a boot, or after the numbers went round.
    await writeFile(recordPath('vda'), JSON.stringify({ ...record, pid: stranger.pid }));
    await exports.ensure(request('vda'));
    await exports.removeAll(moveId);
    expect(stranger.exitCode).toBeNull();
    expect(stranger.signalCode).toBeNull();
  } finally {
    stranger.kill('SIGKILL');
    await once(stranger, 'close');
  }
});

it('knows a process of an earlier boot by its time, also if name and number are the same', async () => {
  const now = await exports.ensure(request('vda'));
  const record = JSON.parse(await readFile(recordPath('vda'), 'utf8')) as object;
  await writeFile(recordPath('vda'), JSON.stringify({ ...record, startTime: '1' }));
  expect((await exports.list()).map(({ serving }) => serving)).toEqual([false]);
  const next = await exports.ensure(request('vda'));
  expect(next.pid).not.toBe(now.pid);
  expect(await servers()).toEqual([names[0]]);
});

it('leaves the exports of another move alone', async () => {
  const other = `${moveId}-2`;
  await exports.ensure({ ...request('vda'), moveId: other });
  try {
    await exports.ensure(request('vda'));
    await exports.removeAll(moveId);
    expect(await servers()).toEqual([`vmferry:${other}:vda`]);
  } finally {
    await exports.removeAll(other);
  }
});
