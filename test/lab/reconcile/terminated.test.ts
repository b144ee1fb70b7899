/**
 * A move that is terminated in Temporal in mid-copy gets no undo. What has to hold then: nothing of it goes on, no disk
 * is deleted, no VM is given back by a guess, everything is listed, and a person's word settles it.
 */
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { VmFerry } from '../../../client/vmferry.ts';
import type { ListOrphansResult } from '../../../client/vmferry.ts';
import { loadConfig } from '../../../config/load.ts';
import type { OrphanLine } from '../../../domain/orphans.ts';
import { Ledger } from '../../../guard/ledger.ts';
import type { LabHost } from '../../../lab/host.ts';
import { namedNetworkNamespace } from '../../../lab/processes.ts';
import { checkVmDisk } from '../../../lab/vm.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { must, withXml } from '../refusals/tiny-vm.ts';
import { ended, midCopy, openStage, reached } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { diskServersIn } from '../witness.ts';

const mebibyte = 1024 * 1024;
/** A move has to be seen closed for 15 s before anything is touched; the rest is for a busy machine. */
const patience = { timeout: 120_000, interval: 1_000 };

let stage: Stage;
let ferry: VmFerry;
let client: Client;
let connection: Connection;
let vm: LabVm;
let alpha: LabHost;
let beta: LabHost;

beforeAll(async () => {
  stage = await openStage({ name: `t${process.pid}`, poolBytes: 512 * mebibyte });
  alpha = stage.lab.host('alpha');
  beta = stage.lab.host('beta');
  vm = await stage.vm('alpha', {
    name: 'left',
    run: true,
    autostart: true,
    dataDisk: { sizeMiB: 192, fillMiB: 96, seed: 9 },
  });
  ferry = await VmFerry.connect({ config: loadConfig({ path: stage.fleet.configPath }) });
  connection = await Connection.connect({ address: stage.fleet.address });
  client = new Client({ connection });
});
afterAll(async () => {
  await connection.close();
  await ferry.close();
  await stage.close();
});

const ledgerOf = (host: LabHost): Ledger =>
  new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name });

const orphans = async (): Promise<OrphanLine[]> => {
  const found: ListOrphansResult = await ferry.orphans();
  expect(found.unreachable).toEqual([]);
  return found.orphans;
};

const kindsOn = (list: OrphanLine[]): string[] =>
  list.map(({ host, kind }) => `${host} ${kind}`).sort();

const diskServers = (): string[] =>
  diskServersIn(stage.lab.hosts.map(({ netns }) => namedNetworkNamespace(netns) ?? -1));

const namesIn = (host: LabHost, path: string): Promise<string[]> =>
  readdir(host.rootOf(path)).catch(() => []);

const identityOf = async (host: LabHost, path: string) => {
  const { ino, birthtimeMs, size } = await stat(host.rootOf(path));
  return { ino, birthtimeMs, size };
};

it('ends what runs of a terminated move, keeps its volume and its VM, and lists both', async () => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const move = await stage.ferry.migrate({
    vm: vm.name,
    from: 'alpha',
    to: 'beta',
    bandwidthBytesPerSecond: 8 * mebibyte,
  });
  await midCopy(move, 0.3);
  const made = await identityOf(beta, vm.diskPath);
  await client.workflow.getHandle(move.id).terminate('by hand, in mid-copy');

  // At first it is only seen to be over; nothing is touched before that has lasted.
  await expect
    .poll(async () => kindsOn(await orphans()), patience)
    .toEqual(['alpha vm', 'beta volume']);
  await expect.poll(diskServers, patience).toEqual([]);

  const found = await orphans();
  const volume = found.find(({ kind }) => kind === 'volume')!;
  expect(volume).toMatchObject({
    host: 'beta',
    what: vm.diskPath,
    moveId: move.id,
    vm: { name: vm.name, uuid: vm.uuid },
    usedBy: [],
    removable: true,
  });
  expect(volume.why).toContain('terminated');
  expect(volume.sizeBytes).toBeGreaterThan(mebibyte);
  expect(await identityOf(beta, vm.diskPath)).toEqual(made);
  expect(await namesIn(beta, join(beta.stateDir, 'moves'))).toEqual([]);
  expect(await ledgerOf(beta).read(vm.uuid)).toMatchObject({ state: 'quarantined' });

  const held = found.find(({ kind }) => kind === 'vm')!;
  expect(held).toMatchObject({ host: 'alpha', what: vm.uuid, removable: false });
  expect(held.why).toMatch(/running.*autostart on/);
  expect(held.remedy).toContain(`vmferry guard claim ${vm.uuid}`);
  expect(await ledgerOf(alpha).read(vm.uuid)).toMatchObject({ state: 'migrating-out' });
  await expect(stage.virsh('alpha', 'start', vm.name)).rejects.toThrow(/may not start/);
});

it('finds the same again after its workers and Temporal were killed', async () => {
  const before = await orphans();
  const { fleet } = stage;
  await Promise.all([fleet.worker('alpha').kill9(), fleet.worker('beta').kill9()]);
  await fleet.temporal.kill9();
  await fleet.startTemporal();
  await fleet.ready();
  await expect
    .poll(async () => (await orphans().catch(() => [])).map(({ id }) => id).sort(), patience)
    .toEqual(before.map(({ id }) => id).sort());
});

it('removes the volume by word only, and not while a VM names it', async () => {
  const volume = (await orphans()).find(({ kind }) => kind === 'volume')!;
  const order = { host: 'beta', id: volume.id, order: 'remove' as const, operator: 'ada@desk' };
  const xml = `<domain type='qemu'><name>squatter</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'><source file='${vm.diskPath}'/><target dev='vda'/></disk></devices></domain>`;
  await withXml(beta, xml, (path) => must(beta, 'define', path));
  await expect(ferry.settleOrphan(order)).rejects.toMatchObject({ code: 'orphan-in-use' });
  expect((await orphans()).find(({ id }) => id === volume.id)).toMatchObject({
    usedBy: ['VM squatter'],
    removable: false,
  });
  await stage.virsh('beta', 'undefine', 'squatter');

  const held = (await orphans()).find(({ kind }) => kind === 'vm')!;
  await expect(ferry.settleOrphan({ ...order, host: 'alpha', id: held.id })).rejects.toMatchObject({
    code: 'orphan-is-a-vm',
  });

  expect(await ferry.settleOrphan(order)).toMatchObject({ done: 'removed', what: vm.diskPath });
  await expect(stat(beta.rootOf(vm.diskPath))).rejects.toThrow('ENOENT');
  expect(await ledgerOf(beta).read(vm.uuid)).toBeUndefined();
  const audit = await readFile(beta.rootOf(join(beta.stateDir, 'audit.log')), 'utf8');
  expect(audit).toMatch(/remove orphan.*ada@desk/);
});

it('lets a person claim the VM, which then moves like any other', async () => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const { claim } = await import('../../../guard/claim.ts');
  await claim({
    ledger: ledgerOf(alpha),
    uuid: vm.uuid,
    operator: 'ada@desk',
    reason: 'beta has no VM of that name',
  });
  await expect.poll(async () => kindsOn(await orphans()), patience).toEqual([]);
  expect(await namesIn(alpha, join(alpha.stateDir, 'moves'))).toEqual([]);
  await checkVmDisk(alpha, vm);
  const report = await ended(
    await stage.ferry.migrate({
      ...{ vm: vm.name, from: 'alpha', to: 'beta', autoCommit: true, autoStart: true },
    }),
  );
  expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
});

it('leaves a VM that has moved already where it runs, disks and all, if its move is terminated before the commit', async () => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  // A guest that only boots hears no request to go down: the move would wait two minutes, until it may end it by force.
  await stage.lab.waitForConsole('beta', vm.name, /tick \d+/, { timeoutMs: 120_000 });
  const away = await stage.ferry.migrate({ vm: vm.name, from: 'beta', to: 'alpha' });
  expect(await reached(away, 'awaiting-commit')).toMatchObject({ vmOn: 'alpha', vmRunning: true });
  await client.workflow.getHandle(away.id).terminate('by hand, before the commit');

  await expect.poll(async () => kindsOn(await orphans()), patience).toEqual(['beta vm']);
  await expect.poll(() => namesIn(alpha, join(alpha.stateDir, 'moves')), patience).toEqual([]);
  expect(await stage.virsh('alpha', 'domstate', vm.name)).toBe('running');
  expect(await ledgerOf(alpha).read(vm.uuid)).toMatchObject({ state: 'owner' });
  expect(await namesIn(alpha, alpha.poolPath)).toContain(`${vm.name}.raw`);
  // The source's copy is a person's to remove; meanwhile it starts nowhere.
  expect(await ledgerOf(beta).read(vm.uuid)).toMatchObject({ state: 'released' });
  await expect(stage.virsh('beta', 'start', vm.name)).rejects.toThrow(/may not start/);
  expect(await namesIn(beta, beta.poolPath)).toContain(`${vm.name}.raw`);
});
