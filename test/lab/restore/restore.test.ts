/** Temporal's database goes back in time, or is lost: what the hosts know decides, and nothing is deleted. */
import { copyFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFailed, onTestFinished } from 'vitest';
import { VmFerry } from '../../../client/vmferry.ts';
import { loadConfig } from '../../../config/load.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { midCopy, openStage, reached, until } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { Witness } from '../witness.ts';

const mebibyte = 1024 * 1024;
/** Slow enough that the database can be copied in mid-move. */
const bandwidthBytesPerSecond = 16 * mebibyte;

let stage: Stage;
let vm: LabVm;

beforeAll(async () => {
  stage = await openStage({ name: `r${process.pid}`, poolBytes: 512 * mebibyte });
  vm = await stage.vm('alpha', {
    name: 'gold',
    run: true,
    dataDisk: { sizeMiB: 96, fillMiB: 64, seed: 4 },
  });
});
afterAll(async () => {
  await stage.close();
});

const database = (): string => join(stage.dir, 'temporal.sqlite');
const backup = (): string => join(stage.dir, 'backup.sqlite');
/** SQLite's file, and what it has not written back yet. */
const suffixes = ['', '-wal', '-shm'];

/** With the server down: its database is one file and, at most, a log beside it. */
async function withServerDown(act: () => Promise<void>): Promise<void> {
  await stage.fleet.temporal.stop();
  await act();
  await stage.fleet.startTemporal();
}

async function removeDatabase(): Promise<void> {
  for (const suffix of suffixes) await rm(`${database()}${suffix}`, { force: true });
}

async function copyDatabase(from: string, to: string): Promise<void> {
  for (const suffix of suffixes) {
    await copyFile(`${from}${suffix}`, `${to}${suffix}`).catch((error: unknown) => {
      if (suffix === '' || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
  }
}

const runningOn = async (host: string): Promise<boolean> =>
  (await stage.virsh(host, 'list', '--name')).split('\n').includes(vm.name);

/** Images and ledgers of both hosts; none may go. */
async function holdings(): Promise<Record<string, string[]>> {
  const of = async (host: string): Promise<string[]> => {
    const inside = stage.lab.host(host);
    const [images, ledger] = await Promise.all([
      readdir(inside.rootOf(inside.poolPath)),
      readdir(inside.rootOf(`${inside.stateDir}/ledger`)),
    ]);
    return [...images.filter((name) => name.startsWith(vm.name)), ...ledger].sort();
  };
  return { alpha: await of('alpha'), beta: await of('beta') };
}

/** As the page says: a worker remembers workflows, so it must not outlive the database that they were in. */
async function withAllDown(act: () => Promise<void>): Promise<void> {
  const { control, hosts } = stage.fleet;
  const workers = [control, ...hosts.values()];
  await Promise.all(workers.map((worker) => worker.stop()));
  await withServerDown(act);
  for (const worker of workers) worker.start();
  await stage.fleet.ready();
}

it('a move that rises from an older backup is refused by the hosts, and no second copy starts', async () => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const { ferry } = stage;
  const move = await ferry.migrate({
    vm: vm.name,
    from: 'alpha',
    to: 'beta',
    bandwidthBytesPerSecond,
    autoCommit: false,
  });
  await midCopy(move, 0.2);
  await withServerDown(() => copyDatabase(database(), backup()));
  await reached(move, 'awaiting-commit');
  expect(await runningOn('beta')).toBe(true);
  const before = await holdings();
  const witness = Witness.watch(vm.uuid);

  await withAllDown(async () => {
    await removeDatabase();
    await copyDatabase(backup(), database());
  });
  const report = await until(move, ({ report: { phase } }) => phase === 'parked', 'parked');
  // The copy that it believes in does not beat any more; its next try, or the undo after that, meets the ledger.
  expect(report.firstError?.code).toMatch(/^(worker-lost|stale-epoch)$/);
  expect(report.fault).toMatchObject({ code: 'ownership-conflict', host: 'alpha' });
  expect(report.failedCompensations.length).toBeGreaterThan(0);

  expect(await runningOn('beta')).toBe(true);
  expect(await runningOn('alpha')).toBe(false);
  await expect(stage.virsh('alpha', 'start', vm.name)).rejects.toThrow(/vmferry/);
  expect(await holdings()).toEqual(before);
  const seen = witness.end();
  expect(seen).toMatchObject({ mostRunning: 1, ranIn: [expect.any(Number)] });
  expect(seen.samples).toBeGreaterThan(20);
});

it('an empty Temporal deletes nothing, and knows the hosts again once their workers start', async () => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const before = await holdings();
  await withAllDown(removeDatabase);
  const known = async () => (await stage.ferry.hosts()).map(({ name }) => name);
  await expect.poll(known, { timeout: 60_000, interval: 500 }).toEqual(['alpha', 'beta']);
  // Each question has both hosts look at everything, as their first round does; the second look began after that.
  const client = await VmFerry.connect({ config: loadConfig({ path: stage.fleet.configPath }) });
  onTestFinished(() => client.close());
  for (const look of ['first', 'second']) {
    const { orphans, unreachable } = await client.orphans();
    expect(unreachable, look).toEqual([]);
    expect(new Set(orphans.map(({ host }) => host)), look).toEqual(new Set(['alpha', 'beta']));
  }
  expect(await holdings()).toEqual(before);
  expect(await runningOn('beta')).toBe(true);
  expect(await runningOn('alpha')).toBe(false);
});
