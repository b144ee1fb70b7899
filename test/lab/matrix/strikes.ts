/** What is done to real processes, storage, links and clocks in the middle of a move. */
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { execa } from 'execa';
import { findTemporalCli } from '../../../config/temporal-binary.ts';
import { isEnd } from '../../../domain/move.ts';
import { FakeClock } from '../../../lab/faketime.ts';
import {
  fillPool,
  fillState,
  killLibvirtd,
  killProcess9,
  stopProcess,
} from '../../../lab/faults.ts';
import type { LabHost } from '../../../lab/host.ts';
import { cutControl, cutOneWay } from '../../../lab/one-way.ts';
import { identify, namedNetworkNamespace, namespaceOf } from '../../../lab/processes.ts';
import type { Supervised } from '../../../lab/supervised.ts';
import { waitUntil } from '../../../lab/wait.ts';
import { reached, until } from '../stage.ts';
import { told } from './ask.ts';
import type { Scene } from './scene.ts';

const soon = { timeoutMs: 30_000 };

export type Side = 'source' | 'target';
export type WorkerName = Side | 'control';

const endOf = (scene: Scene, side: Side): string => (side === 'source' ? scene.from : scene.to);

export const workerOf = ({ stage, from, to }: Scene, worker: WorkerName): Supervised =>
  worker === 'control' ? stage.fleet.control : stage.fleet.worker(worker === 'source' ? from : to);

/** kill -9 of workers, all at once; whoever watches over them starts them again. */
export async function killWorkers(scene: Scene, ...names: WorkerName[]): Promise<void> {
  await Promise.all(names.map((name) => workerOf(scene, name).kill9()));
  await scene.stage.fleet.ready();
}

/** SIGTERM of a worker, as an upgrade does it, then its next start. */
export async function restartInOrder(scene: Scene, name: WorkerName): Promise<void> {
  const worker = workerOf(scene, name);
  await worker.stop();
  worker.start();
  await scene.stage.fleet.workerReady(worker);
}

/** kill -9 of the server; it is back on its database after two seconds. */
export async function killTemporal({ stage }: Scene): Promise<void> {
  await stage.fleet.temporal.kill9();
  await delay(2_000);
  await stage.fleet.startTemporal();
}

/** kill -9 of libvirtd, and its next start once `away` is over. */
export async function killDaemon(
  scene: Scene,
  side: Side,
  away: () => Promise<unknown>,
): Promise<void> {
  const restart = await killLibvirtd(scene[side]);
  scene.mend(restart);
  await away();
  await restart();
}

/** A failed attempt of the move: something was tried and the fault was felt. Or the move is over without one. */
export const felt = ({ move }: Scene): Promise<unknown> =>
  until(
    move,
    ({ report }) => report.firstError !== undefined || isEnd(report.phase),
    'its first error',
  );

/** kill -9 of the guest's own process on one side. */
export async function killGuest({ runs, vm }: Scene, host: string): Promise<void> {
  const run = runs.of(vm.uuid).findLast((one) => one.host === host && one.endNs === undefined);
  const qemu = identify(run?.pid ?? 0);
  if (qemu === undefined) throw new Error(`no QEMU of ${vm.name} runs on ${host}`);
  await killProcess9(qemu);
}

/** kill -9 of the server that offers the disk to the target. */
export async function killExport({ source }: Scene): Promise<void> {
  const inside = namedNetworkNamespace(source.netns);
  const servers = readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry) || namespaceOf(Number(entry), 'net') !== inside) return false;
    const argv = argumentsOf(entry);
    return argv.some((argument) => /^vmferry:.*:vda$/.test(argument));
  });
  expect(servers).toHaveLength(1);
  const server = identify(Number(servers[0]));
  if (server !== undefined) await killProcess9(server);
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** A cut, until the move has felt it. */
export async function cutUntilFelt(
  scene: Scene,
  cut: () => Promise<() => Promise<void>>,
): Promise<void> {
  const mend = await cut();
  let mended = false;
  const once = async (): Promise<void> => {
    if (!mended) await mend();
    mended = true;
  };
  scene.mend(once);
  const cutMs = performance.now();
  await felt(scene);
  scene.note(`felt after ${((performance.now() - cutMs) / 1000).toFixed(1)} s`);
  await once();
}

export const cuts = {
  bothWays: (scene: Scene) => async () => {
    await scene.stage.lab.setLink(scene.to, { up: false });
    return () => scene.stage.lab.setLink(scene.to, { up: true });
  },
  oneWay: (scene: Scene, from: Side, to: Side) => () =>
    cutOneWay(scene.stage.lab, { from: endOf(scene, from), to: endOf(scene, to) }),
  toTemporal: (scene: Scene, side: Side) => () =>
    cutOneWay(scene.stage.lab, { from: endOf(scene, side), to: 'control' }),
  fromTemporal: (scene: Scene, side: Side) => () =>
    cutOneWay(scene.stage.lab, { from: 'control', to: endOf(scene, side) }),
  control: (scene: Scene, side: Side) => () => cutControl(scene.stage.lab, endOf(scene, side)),
} as const;

/** Everything of a host stands still for longer than the heartbeats' time-out, then goes on. */
export async function freezeUntilFelt(scene: Scene, side: Side): Promise<void> {
  const host = scene[side];
  scene.mend(() => host.thaw());
  await host.freeze();
  await felt(scene);
  await host.thaw();
}

/** The worker stands still; another of the same host takes over; then the first goes on with what it was doing. */
export async function overtake(scene: Scene, side: Side): Promise<void> {
  const { fleet } = scene.stage;
  const host = endOf(scene, side);
  const first = identify(workerOf(scene, side).pid ?? 0);
  if (first === undefined) throw new Error(`no worker of ${host}`);
  const goOn = stopProcess(first);
  scene.mend(goOn);
  const second = fleet.spareWorker(host);
  scene.mend(() => second.stop());
  second.start();
  await fleet.workerReady(second);
  await felt(scene);
  // The second may be at it by now, or may wait for what the first holds.
  await delay(1_500);
  goOn();
}

/** The pool of the target is full until the move has parked for it; then there is room, and a person says so. */
export async function fillUntilParked(
  scene: Scene,
  fill: (scene: Scene) => Promise<() => Promise<void>>,
): Promise<void> {
  const release = await fill(scene);
  scene.mend(release);
  const report = await reached(scene.move, 'parked');
  scene.note(`parked: ${report.fault?.code ?? ''}`);
  expect(report.phase).toBe('parked');
  expect(report.fault?.remedy).toMatch(/\w{3}/);
  await release();
  await scene.move.retry();
}

/** A guest that runs there and wrote where its file had a hole: QEMU has paused it, and only a person lets it go on. */
async function resumeGuests(host: LabHost): Promise<void> {
  const paused = (await told(host, 'list', '--state-paused', '--name')).split('\n');
  for (const vm of paused.filter(Boolean)) await told(host, 'resume', vm);
}

const mebibyte = 1024 * 1024;
export const fills = {
  targetPool: async ({ target }: Scene) => {
    const release = await fillPool(target, 2 * mebibyte);
    return async () => {
      await release();
      await resumeGuests(target);
    };
  },
  targetState: ({ target }: Scene) => fillState(target, 0),
  sourceState: ({ source }: Scene) => fillState(source, 0),
} as const;

/** The worker of one side lives by a clock that jumps in the middle of the copy. */
export async function withClock(
  scene: Scene,
  side: Side,
  play: (clock: FakeClock) => Promise<void>,
): Promise<void> {
  const { fleet, dir } = scene.stage;
  const host = endOf(scene, side);
  const clock = await FakeClock.in(dir);
  fleet.setEnvironment(host, clock.environment);
  await killWorkers(scene, side);
  scene.mend(async () => {
    fleet.setEnvironment(host, {});
    await killWorkers(scene, side);
  });
  await play(clock);
}

interface PendingActivity {
  activityId: string;
  activityType: { name: string };
  state: string;
}

/** An operator pauses in Temporal what runs now of this kind, sees it stand, and lets it go on. */
export async function pauseInTemporal(scene: Scene, activityType: string): Promise<void> {
  const { fleet } = scene.stage;
  const at = ['--address', fleet.address, '--workflow-id', scene.move.id];
  const say = async (...words: string[]): Promise<string> =>
    (await execa(findTemporalCli().path, [...words, ...at], { timeout: 60_000 })).stdout;
  const look = async (): Promise<PendingActivity> => {
    const said = JSON.parse(await say('workflow', 'describe', '-o', 'json')) as {
      pendingActivities?: PendingActivity[];
    };
    const found = said.pendingActivities?.find((one) => one.activityType.name === activityType);
    if (found === undefined) throw new Error(`no ${activityType} runs`);
    return found;
  };
  const { activityId } = await look();
  await say('activity', 'pause', '--activity-id', activityId);
  await waitUntil(async () => (await look()).state === 'PENDING_ACTIVITY_STATE_PAUSED', {
    what: `the pause of ${activityType}`,
    timeoutMs: 60_000,
    everyMs: 300,
  });
  await say('activity', 'unpause', '--activity-id', activityId);
}

/** A person who starts the VM on both hosts, again and again, and lets libvirtd try; ends with how often it was refused. */
export async function meddle(scene: Scene, during: () => Promise<unknown>): Promise<void> {
  let over = false;
  let refused = 0;
  const tries = [scene.source, scene.target].map(async (host) => {
    while (!over) {
      const said = await host.exec(['virsh', '-q', 'start', scene.vm.name], {
        ...soon,
        reject: false,
      });
      if (/may not start on this host/.test(said.stderr)) refused += 1;
      await delay(150);
    }
  });
  try {
    await during();
  } finally {
    over = true;
    await Promise.all(tries);
  }
  scene.note(`refused ${refused} starts`);
  expect(refused).toBeGreaterThan(2);
}

/** libvirtd of the source is restarted as at a boot, with the VM set to start by itself. */
export async function autostartOnSource(scene: Scene): Promise<void> {
  const { source, vm } = scene;
  await source.exec(['virsh', '-q', 'autostart', vm.name], soon);
  await source.libvirtd.kill9();
  scene.mend(() => source.libvirtd.start());
  await rm(source.rootOf('/run/libvirt/qemu/autostarted'), { force: true });
  await source.libvirtd.start();
}
