/** The verbs of live moves on two real hosts with their guards, without Temporal: killed, cancelled, paused, settled. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { admitLive } from '../../../activities/live/admit-live.ts';
import { endLive } from '../../../activities/live/end-live.ts';
import { liveView } from '../../../activities/live/live-view.ts';
import { moveLive } from '../../../activities/live/move-live.ts';
import { settleLive } from '../../../activities/live/settle-live.ts';
import { tuneLive } from '../../../activities/live/tune-live.ts';
import { withdrawLive } from '../../../activities/live/withdraw-live.ts';
import type { DiskPlan, MoveLiveResult } from '../../../activities/contract.ts';
import { MoveFolder } from '../../../activities/move-folder.ts';
import { Operations } from '../../../activities/operations.ts';
import { releaseSource } from '../../../activities/ownership.ts';
import type { DataPlane, HostParts } from '../../../activities/parts.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import type { LiveProgress, LiveWishes } from '../../../domain/live.ts';
import { renderHook } from '../../../guard/install.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { readConsole } from '../../../lab/console.ts';
import { Lab } from '../../../lab/lab.ts';
import { checkVmDisk } from '../../../lab/vm.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { LibvirtHypervisor } from '../../../workers/hypervisor.ts';
import { fakeAttempt } from '../../quick/activities/live/fake-live.ts';
import type { FakeAttempt } from '../../quick/activities/live/fake-live.ts';
import { must, soon, virsh } from '../refusals/tiny-vm.ts';
import { makeBusy, makeBusyGuest } from './busy-guest.ts';

/** Whole moves (test/lab/live-moves) go through all of these verbs; by themselves they are played on demand. */
const isAll = process.env['VMFERRY_LIVE'] === 'all';

const mebibyte = 1024 * 1024;
const boot = { timeoutMs: 120_000 };
const { signal } = new AbortController();

let root: string;
let lab: Lab;
let steady: LabVm;
let lone: LabVm;
let busy: LabVm;
const parts: Record<string, HostParts & { hypervisor: LibvirtHypervisor }> = {};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmferry-verbs-'));
  const guestDir = await makeBusyGuest(join(root, 'guest'));
  const options = { poolBytes: 256 * mebibyte, shared: true, guestDir };
  lab = await Lab.up({
    dir: join(root, 'lab'),
    discard: root,
    name: `w${process.pid}`,
    ...options,
  });
  for (const host of lab.hosts) parts[host.name] = await withGuard(host.name);
  const disk = { sizeMiB: 32, fillMiB: 4 };
  steady = await lab.createVm('alpha', { name: 'steady', dataDisk: { ...disk, pool: 'shared' } });
  lone = await lab.createVm('alpha', { name: 'lone', dataDisk: disk });
  busy = await lab.createVm('alpha', { name: 'busy', memoryMiB: 128, nic: false });
  await makeBusy(lab.host('alpha'), 'busy');
  for (const { name } of [steady, lone, busy]) await must(lab.host('alpha'), 'start', name);
  for (const { name } of [steady, lone]) {
    await lab.waitForConsole('alpha', name, /tick 3\n/, boot);
    await lab.waitForConsole('alpha', name, /blocks ok=/, boot);
  }
}, 300_000);

afterAll(async () => {
  for (const each of Object.values(parts)) await each.hypervisor.close();
  await Lab.down({ dir: join(root, 'lab') });
  await rm(root, { recursive: true });
});

/** The hook of the host, live, and what its verbs act with. */
async function withGuard(name: string): Promise<HostParts & { hypervisor: LibvirtHypervisor }> {
  const host = lab.host(name);
  const hooks = host.rootOf(join(host.hooksDir, 'qemu.d'));
  await mkdir(hooks, { recursive: true });
  await writeFile(join(hooks, '50-vmferry'), await renderHook(host.stateDir), { mode: 0o755 });
  await host.libvirtd.reload();
  const stateDir = host.rootOf(host.stateDir);
  const ledger = new Ledger({ stateDir, host: name });
  await mkdir(ledger.folder, { recursive: true, mode: 0o700 });
  const libvirt = { socket: host.libvirtSocket, uri: 'qemu:///system' };
  const config = { name, libvirt } as ConstructorParameters<typeof LibvirtHypervisor>[0];
  return {
    ...{ name, version: '0', migrationAddress: host.address, stateDir, bandwidthBytesPerSecond: 0 },
    ...{ ledger, dataPlane: {} as DataPlane, operations: new Operations() },
    hypervisor: new LibvirtHypervisor(config, ledger),
  };
}

const on = (host: string): HostParts => {
  const found = parts[host];
  if (found === undefined) throw new Error(`no host ${host}`);
  return found;
};

interface Journey {
  vm: LabVm;
  from: string;
  to: string;
  epoch: number;
  disks: DiskPlan[];
  ref: {
    moveId: string;
    migrationId: string;
    epoch: number;
    vm: { name: string; uuid: string };
  };
}

/** Both ledgers as a move has them when it goes live. */
async function journey(vm: LabVm, from: string, to: string, epoch: number): Promise<Journey> {
  const migrationId = randomUUID();
  const entry = { epoch, migrationId, name: vm.name, note: '', disks: [] };
  await on(from).ledger.transition(vm.uuid, { ...entry, to: 'migrating-out' });
  await on(to).ledger.transition(vm.uuid, { ...entry, to: 'incoming' });
  const { name, uuid } = vm;
  const ref = { moveId: `migrate/default/${uuid}`, migrationId, epoch, vm: { name, uuid } };
  return { vm, from, to, epoch, ref, disks: vm.diskPath === '' ? [] : [diskOf(vm)] };
}

const diskOf = ({ diskPath }: LabVm): DiskPlan => ({
  name: 'vda',
  ...{ sourcePath: diskPath, sourceFormat: 'raw', sourceKind: 'file' },
  ...{ targetPool: 'default', targetVolume: '', targetKind: 'file', targetFormat: 'raw' },
  ...{ targetPath: diskPath.replace('lone', 'lone-moved') },
  ...{ capacityBytes: 32 * mebibyte, allocation: 'thin', exclusive: true },
  how: diskPath.includes('lone') ? 'copy' : 'shared',
});

interface RunOptions {
  run?: number;
  wishes?: Partial<LiveWishes>;
  bandwidth?: number;
  attempt?: FakeAttempt;
}

/** Admits a run and begins it or attaches to it. */
async function oneRun(
  { vm, from, to, ref, disks }: Journey,
  { run = 1, wishes = {}, bandwidth = 0, attempt = fakeAttempt() }: RunOptions = {},
): Promise<MoveLiveResult> {
  const known = await new MoveFolder({
    ...{ stateDir: on(from).stateDir, migrationId: ref.migrationId, host: from },
  }).read('live');
  // An attempt that attaches has its token from before.
  const token =
    known?.run === run
      ? ''
      : (await admitLive(on(to), { ...ref, source: from, run }, signal)).token;
  const input = {
    ...{ ...ref, target: to, run, token, targetAddress: lab.host(to).address, disks },
    wishes: { ...defaultLiveWishes, patienceMs: 2_000, ...wishes },
    bandwidthBytesPerSecond: bandwidth * mebibyte,
  };
  expect(vm.uuid).toBe(ref.vm.uuid);
  return moveLive(on(from), input, attempt);
}

const views = async ({ from, to, ref }: Journey): Promise<string[]> => {
  const there = await liveView(on(to), ref);
  return [(await liveView(on(from), ref)).place, there.place];
};

const lastProgress = ({ reported }: FakeAttempt): LiveProgress | undefined =>
  (reported.at(-1) as { live: LiveProgress } | undefined)?.live;

/** Resolves once the run has shown that. */
async function shows(attempt: FakeAttempt, isIt: (live: LiveProgress) => boolean): Promise<void> {
  const deadline = performance.now() + 90_000;
  for (;;) {
    const now = lastProgress(attempt);
    if (now !== undefined && isIt(now)) return;
    if (performance.now() > deadline) throw new Error(`not seen: ${JSON.stringify(now)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const crossed = ({ memoryProcessedBytes }: LiveProgress): boolean =>
  memoryProcessedBytes > mebibyte;

const lastTick = async (host: string, vm: LabVm): Promise<number> =>
  Number(/tick (\d+)\n(?![^]*tick \d+\n)/.exec(await readConsole(lab.host(host), vm.name))?.[1]);

/** It runs at the target with no tick lost, is the target's alone after the cutover, and no tick came twice. */
async function arrived(trip: Journey, result: MoveLiveResult): Promise<void> {
  const { vm, from, to, ref } = trip;
  expect(result.fault).toBeUndefined();
  expect(await views(trip)).toEqual(['moved-away', 'running']);
  await releaseSource(
    on(from),
    { ...ref, target: to, disks: [], fingerprints: {}, live: true },
    signal,
  );
  const owner = { migrationId: ref.migrationId, name: vm.name, note: '', disks: [] };
  await on(to).ledger.transition(vm.uuid, { ...owner, to: 'owner', epoch: ref.epoch + 1 });
  expect((await virsh(lab.host(from), 'start', vm.name)).words).toContain('may not start');
}

async function ticksOn({ vm, from, to }: Journey): Promise<void> {
  const before = await lastTick(from, vm);
  const first = await lab.waitForConsole(to, vm.name, /tick (\d+)\n[^]*tick/, soon);
  expect(Number(first[1]) - before).toBeGreaterThanOrEqual(1);
  expect(Number(first[1]) - before).toBeLessThanOrEqual(2);
}

it.runIf(isAll)(
  'moves a guest on shared storage, and the cutover leaves it to its new host alone',
  async () => {
    const trip = await journey(steady, 'alpha', 'beta', 1);
    const attempt = fakeAttempt();
    const result = await oneRun(trip, { attempt });
    await arrived(trip, result);
    await ticksOn(trip);
    expect(result).toMatchObject({ steps: [], postCopy: false });
    expect(result.downtimeMs).toBeGreaterThan(0);
    expect(attempt.reported.length).toBeGreaterThan(0);
    console.log('shared', JSON.stringify(result));
    expect(await must(lab.host('beta'), 'dumpxml', '--inactive', 'steady')).not.toContain('admit');
    await must(lab.host('beta'), 'destroy', 'steady');
    await must(lab.host('beta'), 'start', 'steady');
  },
);

it.runIf(isAll)(
  'has a run undone that is cancelled; a later one is left by its worker, found again, slow and sped up',
  async () => {
    const trip = await journey(lone, 'alpha', 'beta', 1);
    const path = diskOf(lone).targetPath;
    const make = `qemu-img create -q -f raw ${path} 32M && virsh -q pool-refresh default`;
    await lab.host('beta').exec(['sh', '-c', make], soon);
    const first = fakeAttempt();
    const undone = oneRun(trip, { attempt: first, bandwidth: 3 });
    await shows(first, ({ diskProcessedBytes }) => diskProcessedBytes > mebibyte);
    first.cancel();
    await expect(undone).rejects.toThrow('CANCELLED');
    expect(await views(trip)).toEqual(['running', 'gone']);
    expect(await withdrawLive(on('beta'), trip.ref, signal)).toEqual({
      place: 'gone',
      job: 'none',
    });

    const left = fakeAttempt();
    const second = oneRun(trip, { run: 2, attempt: left, bandwidth: 8 });
    second.catch(() => undefined);
    await shows(left, crossed);
    left.stop();
    await expect(second).rejects.toThrow('WORKER_SHUTDOWN');
    expect((await liveView(on('alpha'), trip.ref)).job).toBe('outgoing');
    const attached = fakeAttempt();
    const found = oneRun(trip, { run: 2, attempt: attached, bandwidth: 8 });
    await shows(attached, crossed);
    const limits = { ...trip.ref, bandwidthBytesPerSecond: 0, maxDowntimeMs: 1_000 };
    expect(await tuneLive(on('alpha'), limits, { signal, hostBytesPerSecond: 0 })).toBe(true);
    const result = await found;
    expect(await oneRun(trip, { run: 2 })).toEqual(result);
    await arrived(trip, result);
    await ticksOn(trip);
    console.log('found again', JSON.stringify(result));
    expect(result.diskBytes).toBeGreaterThanOrEqual(32 * mebibyte);
  },
);

it.runIf(isAll)(
  'pauses a guest that never ends by itself; cancelled then, it goes on where it is',
  async () => {
    await lab.waitForConsole('alpha', 'busy', /busy\n/, boot);
    const trip = await journey(busy, 'alpha', 'beta', 1);
    const attempt = fakeAttempt();
    const wishes = { pause: true, maxDowntimeMs: 100 };
    const undone = oneRun(trip, { attempt, wishes, bandwidth: 3 });
    undone.catch(() => undefined);
    await tuneDownOnce(trip, attempt);
    const folder = new MoveFolder({
      ...{ stateDir: on('alpha').stateDir, migrationId: trip.ref.migrationId, host: 'alpha' },
    });
    await expect
      .poll(async () => (await folder.read('live'))?.steps.at(-1)?.act, { timeout: 90_000 })
      .toBe('pause');
    console.log('paused', JSON.stringify(await views(trip)));
    attempt.cancel();
    await expect(undone).rejects.toThrow('CANCELLED');
    expect(await views(trip)).toEqual(['running', 'gone']);
    const refused = settleLive(on('alpha'), { ...trip.ref, to: 'off' }, signal);
    await expect(refused).rejects.toMatchObject({ code: 'live-not-settleable' });
    await endLive(on('alpha'), trip.ref, signal);

    const again = fakeAttempt();
    const paused = oneRun(trip, { run: 2, attempt: again, wishes, bandwidth: 40 });
    paused.catch(() => undefined);
    await tuneDownOnce(trip, again);
    const result = await paused;
    console.log('by pause', JSON.stringify(result));
    expect(result.steps.map(({ act }) => act)).toContain('pause');
    await arrived(trip, result);
  },
);

/** Fast through the first pass, then slower than the guest writes. */
async function tuneDownOnce({ ref, from }: Journey, attempt: FakeAttempt): Promise<void> {
  const at = { signal, hostBytesPerSecond: 0 };
  const cap = (rate: number) => ({ ...ref, bandwidthBytesPerSecond: rate * mebibyte });
  await shows(attempt, crossed);
  await tuneLive(on(from), cap(30), at);
  await shows(attempt, ({ iteration }) => iteration > 1);
  await tuneLive(on(from), cap(3), at);
}

it.runIf(isAll)('loses no block of any disk on the way', async () => {
  const tick = await lastTick('beta', steady);
  await must(lab.host('beta'), 'destroy', 'steady');
  expect(await checkVmDisk(lab.host('beta'), steady)).toMatchObject({ bad: 0 });
  expect(tick).toBeGreaterThanOrEqual(0);
  const moved = { ...lone, diskPath: diskOf(lone).targetPath };
  const ticks = await lastTick('beta', lone);
  await must(lab.host('beta'), 'destroy', 'lone');
  const disk = await checkVmDisk(lab.host('beta'), moved);
  expect(disk).toMatchObject({ boot: 1, bad: 0 });
  expect(disk.counter - ticks).toBeGreaterThanOrEqual(0);
});
