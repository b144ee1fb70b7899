import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endLive } from '../../../../activities/live/end-live.ts';
import { moveLive } from '../../../../activities/live/move-live.ts';
import { tuneLive } from '../../../../activities/live/tune-live.ts';
import { permanent, transient } from '../../../../domain/errors.ts';
import { disk } from '../../workflows/fake-hosts.ts';
import { fakeAttempt, fakeHost, order, pass, ref, vm } from './fake-live.ts';
import type { FakeHost } from './fake-live.ts';

let stateDir: string;
let host: FakeHost;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-move-live-'));
  host = await fakeHost(stateDir, 'migrating-out');
});
afterEach(() => rm(stateDir, { recursive: true }));

const soon = { timeout: 5_000, interval: 5 };
const told = (what: string) => vi.waitFor(() => expect(host.live.told).toContain(what), soon);
const { signal } = new AbortController();

it('begins with the token in the definition that arrives, and not in the one that is kept', async () => {
  const attempt = fakeAttempt();
  const moving = moveLive(host.parts, { ...order(1), bandwidthBytesPerSecond: 5_500_000 }, attempt);
  await told('begin');
  host.live.show(pass(100));
  host.live.end('moved-away');
  expect(await moving).toMatchObject({ downtimeMs: 42, elapsedMs: 9_000, steps: [] });
  expect(await moving).not.toHaveProperty('fault');
  expect(host.live.asked[0]).toMatchObject({
    targetXml: `<running/> for beta ${'a'.repeat(32)}`,
    persistentXml: '<kept/> for beta',
    migrationAddress: '198.51.100.2',
    bandwidthMiBPerSecond: 5,
    maxDowntimeMs: 300,
  });
  expect(attempt.reported[0]).toMatchObject({ live: { iteration: 5, elapsedMs: 100 } });
});

it('has the run on stable storage before libvirt is asked', async () => {
  let known: Promise<unknown> = Promise.resolve(undefined);
  host.live.onOrder = (what) => {
    if (what === 'begin') known = host.folder.read('live');
  };
  const moving = moveLive(host.parts, order(1), fakeAttempt());
  await told('begin');
  host.live.end('moved-away');
  await moving;
  expect(await known).toMatchObject({ run: 1 });
});

it('begins no second time for a run that was written down: killed before or after libvirt was asked', async () => {
  await host.folder.write('live', { run: 1, steps: [] });
  const result = await moveLive(host.parts, order(1), fakeAttempt());
  expect(result.fault).toMatchObject({ code: 'live-interrupted', handling: 'transient' });
  expect(host.live.told).toEqual([]);
});

it('tells of a run that arrived while nobody watched', async () => {
  await host.folder.write('live', { run: 1, steps: [] });
  host.live.place = 'moved-away';
  const result = await moveLive(host.parts, order(1), fakeAttempt());
  expect(result).toMatchObject({ downtimeMs: 42, postCopy: false });
  expect(result).not.toHaveProperty('fault');
});

it('leaves a run alone when the worker stops; the next attempt attaches under the cap of now, and has its result', async () => {
  const first = fakeAttempt();
  const left = moveLive(host.parts, order(1), first);
  await told('begin');
  first.stop();
  await expect(left).rejects.toThrow('WORKER_SHUTDOWN');
  expect(host.live.told).toEqual(['begin']);
  const capped = { ...order(1), bandwidthBytesPerSecond: 8 * 1024 * 1024 };
  const hostShare = () => Promise.resolve(5 * 1024 * 1024);
  const again = moveLive(host.parts, capped, { ...fakeAttempt(), hostShare });
  await told('bandwidth 5');
  host.live.show(pass(100));
  host.live.end('moved-away');
  expect(await again).toMatchObject({ downtimeMs: 42 });
  // A reply that was lost is told once more.
  expect(await moveLive(host.parts, order(1), fakeAttempt())).toEqual(await again);
  expect(host.live.told).toEqual(['begin', 'bandwidth 5']);
});

it('gives way to a newer attempt without ending the run', async () => {
  const older = moveLive(host.parts, order(1), fakeAttempt());
  older.catch(() => undefined);
  await told('begin');
  const newer = moveLive(host.parts, order(1), fakeAttempt());
  await expect(older).rejects.toMatchObject({ code: 'superseded' });
  host.live.end('moved-away');
  expect(await newer).toMatchObject({ downtimeMs: 42 });
  expect(host.live.told).toEqual(['begin']);
});

it('has libvirt undo a run that is cancelled, and waits until it has', async () => {
  const attempt = fakeAttempt();
  const moving = moveLive(host.parts, order(1), attempt);
  await told('begin');
  host.live.show(pass(100));
  attempt.cancel();
  host.live.show(pass(200));
  await expect(moving).rejects.toThrow('CANCELLED');
  expect(host.live.told).toEqual(['begin', 'abort']);
  expect((await host.folder.read('live'))?.result?.fault?.code).toBe('live-cancelled');
});

it('lets a cancelled run in post-copy come to its end, and tells that it arrived', async () => {
  const attempt = fakeAttempt();
  const moving = moveLive(host.parts, order(1), attempt);
  await told('begin');
  const inPostCopy = { code: 'live-in-post-copy', message: '', remedy: '' };
  host.live.abort = () => Promise.reject(permanent(inPostCopy));
  attempt.cancel();
  host.live.show(pass(200, { inPostCopy: true }));
  host.live.end('moved-away');
  expect(await moving).toMatchObject({ downtimeMs: 42 });
});

it('climbs the ladder as far as it may, and tells each step; where the link goes silent the run is to be tried again', async () => {
  const wishes = { quicklyFinish: true, highestDowntimeMs: 2_000, pause: true };
  const moving = moveLive(host.parts, order(1, wishes), fakeAttempt());
  await told('begin');
  // The pause of the guest is known before it is paused.
  let pausedFirst: Promise<boolean> = Promise.resolve(false);
  host.live.onOrder = (what) => {
    if (what === 'pause')
      pausedFirst = host.folder.read('live').then((memory) => memory?.paused === true);
  };
  // Nothing crosses in the end.
  const dead = { memoryProcessedBytes: 1, bytesPerSecond: 0 };
  for (let at = 1_000; at <= 5_000; at += 500) host.live.show(pass(at));
  for (let at = 5_500; at <= 9_000; at += 500) host.live.show(pass(at, dead));
  const result = await moving;
  expect(host.live.told).toEqual(['begin', 'downtime 2000', 'pause', 'abort', 'resume']);
  expect(result.steps.map(({ act }) => act)).toEqual(['raise-downtime', 'pause', 'give-up']);
  expect(result.fault).toMatchObject({ code: 'live-stalled', handling: 'transient' });
  expect(host.live.place).toBe('running');
  expect(await pausedFirst).toBe(true);
});

it('gives up for good where the guest changes more than crosses, and the plan allows no more', async () => {
  const moving = moveLive(host.parts, order(1), fakeAttempt());
  await told('begin');
  for (let at = 500; at <= 9_000; at += 500) host.live.show(pass(at));
  const { fault, steps } = await moving;
  expect(host.live.told).toEqual(['begin', 'abort']);
  expect(steps.map(({ act }) => act)).toEqual(['give-up']);
  expect(fault).toMatchObject({ code: 'live-not-converging', handling: 'permanent' });
});

it('gives a paused guest the time that its memory takes, though a pass before it came nearer', async () => {
  const moving = moveLive(host.parts, order(1, { pause: true }), fakeAttempt());
  await told('begin');
  const left = (mebibytes: number) => ({ memoryRemainingBytes: mebibytes * 1024 * 1024 });
  host.live.show(pass(500, left(4)));
  for (let at = 1_000; at <= 4_000; at += 500) host.live.show(pass(at, left(60)));
  await told('pause');
  for (let at = 4_500; at <= 12_000; at += 500) host.live.show(pass(at, left(64 - at / 250)));
  host.live.show(pass(12_500, left(10)));
  await vi.waitFor(() => expect(host.live.waiting).toBe(0), soon);
  host.live.end('moved-away');
  expect((await moving).steps.map(({ act }) => act)).toEqual(['pause']);
});

it('goes on where an attempt before it had climbed to, and gives it patience anew', async () => {
  const wishes = { postCopy: true, quicklyFinish: true, highestDowntimeMs: 2_000 };
  const input = { ...order(1, wishes), bandwidthBytesPerSecond: 8 * 1024 * 1024 };
  const first = fakeAttempt();
  const left = moveLive(host.parts, input, first);
  await told('begin');
  for (let at = 1_000; at <= 2_000; at += 500) host.live.show(pass(at));
  await told('downtime 2000');
  await vi.waitFor(
    async () => expect((await host.folder.read('live'))?.steps).toHaveLength(1),
    soon,
  );
  first.stop();
  await expect(left).rejects.toThrow('WORKER_SHUTDOWN');
  const again = moveLive(host.parts, input, fakeAttempt());
  host.live.show(pass(60_000), pass(60_500), pass(61_500), pass(62_000, { inPostCopy: true }));
  await told('post-copy');
  host.live.end('moved-away');
  const { steps, postCopy } = await again;
  expect(steps.map(({ act, atMs }) => [act, atMs])).toEqual([
    ['raise-downtime', expect.any(Number)],
    ['post-copy', 61_500],
  ]);
  expect(postCopy).toBe(true);
  expect(host.live.told.slice(0, 3)).toEqual(['begin', 'downtime 2000', 'bandwidth 8']);
});

it('throws what keeps it from libvirt, so that the next attempt looks again', async () => {
  const gone = transient({ code: 'libvirt-unreachable', message: 'gone', remedy: '' });
  const moving = moveLive(host.parts, order(1), fakeAttempt());
  moving.catch(() => undefined);
  await told('begin');
  host.live.end('running', gone);
  await expect(moving).rejects.toBe(gone);
  expect((await host.folder.read('live'))?.result).toBeUndefined();
});

it('tells what libvirt refuses as a fault of the run', async () => {
  const unsafe = permanent({ code: 'live-storage-not-shared', message: 'no', remedy: 'copy' });
  const moving = moveLive(host.parts, order(1), fakeAttempt());
  await told('begin');
  host.live.end('running', unsafe);
  expect((await moving).fault).toMatchObject({ code: 'live-storage-not-shared' });
});

it('calls an end at the switch unknown, and resumes nothing there', async () => {
  const moving = moveLive(host.parts, order(1), fakeAttempt());
  await told('begin');
  const lost = transient({ code: 'live-interrupted', message: 'lost', remedy: '' });
  host.live.end('switching', lost);
  expect((await moving).fault).toMatchObject({ code: 'live-outcome-unknown' });
  expect(host.live.told).toEqual(['begin']);
});

it('refuses a run before the last one, a stale epoch, and a VM that is off', async () => {
  await host.folder.write('live', { run: 2, steps: [] });
  const older = moveLive(host.parts, order(1), fakeAttempt());
  await expect(older).rejects.toMatchObject({ code: 'live-run-over', handling: 'unsafe' });
  const stale = moveLive(host.parts, { ...order(3), epoch: 9 }, fakeAttempt());
  await expect(stale).rejects.toMatchObject({ code: 'stale-epoch' });
  host.live.place = 'off';
  const { fault } = await moveLive(host.parts, order(3), fakeAttempt());
  expect(fault).toMatchObject({ code: 'live-vm-not-running' });
  expect(host.live.told).toEqual([]);
});

it('changes the limits of its own run only, and a changed pause is where raising goes on from', async () => {
  const at = { signal, hostBytesPerSecond: 3 * 1024 * 1024 };
  const limits = { ...ref, bandwidthBytesPerSecond: 50e6, maxDowntimeMs: 1_500 };
  host.live.job = 'outgoing';
  expect(await tuneLive(host.parts, limits, at)).toBe(false);
  host.live.job = 'none';
  const wishes = { quicklyFinish: true, highestDowntimeMs: 9_000 };
  const moving = moveLive(host.parts, order(1, wishes), fakeAttempt());
  await told('begin');
  expect(await tuneLive(host.parts, limits, at)).toBe(true);
  // Less is left than in the other tests, so that the raised pause follows from the one before.
  const small = { memoryRemainingBytes: 20 * 1024 * 1024 };
  for (let ms = 1_000; ms <= 3_500; ms += 500) host.live.show(pass(ms, small));
  await told('downtime 3000');
  host.live.end('moved-away');
  await moving;
  expect(host.live.told.slice(0, 3)).toEqual(['begin', 'bandwidth 3', 'downtime 1500']);
  expect(await tuneLive(host.parts, limits, at)).toBe(false);
});

it('divides its cap among the disks that are copied at one time, and gives the memory all of it', async () => {
  const copied = (name: string) => ({ ...disk, name, how: 'copy' as const });
  const disks = [copied('vda'), copied('vdb'), { ...copied('vdc'), how: 'shared' as const }];
  const input = { ...order(1), disks, bandwidthBytesPerSecond: 50 * 1024 * 1024 };
  let share = 30 * 1024 * 1024;
  const hostShare = () => Promise.resolve(share);
  const moving = moveLive(host.parts, input, { ...fakeAttempt(), hostShare });
  await told('begin');
  expect(host.live.asked[0]).toMatchObject({ bandwidthMiBPerSecond: 15 });
  share = 40 * 1024 * 1024;
  host.live.show(pass(100), pass(200, { diskTotalBytes: 64 }), pass(300, { diskTotalBytes: 64 }));
  await told('bandwidth 40');
  host.live.end('moved-away');
  await moving;
  expect(host.live.told).toEqual(['begin', 'bandwidth 40']);
});

it('ends a run that another attempt watches', async () => {
  const moving = moveLive(host.parts, order(1), fakeAttempt());
  moving.catch(() => undefined);
  await told('begin');
  await endLive(host.parts, ref, signal);
  await expect(moving).rejects.toMatchObject({ code: 'superseded' });
  expect(host.live.told).toEqual(['begin', 'abort']);
  await endLive(host.parts, { ...ref, vm }, signal);
});

describe('a guest that is held at the target', () => {
  const held = { ...order(1), hold: true as const };

  it('is let go from here once this host has moved it away, and the pause is told with it', async () => {
    const moving = moveLive(host.parts, held, fakeAttempt());
    await told('begin');
    host.live.end('moved-away');
    const result = await moving;
    expect(host.live.asked[0]).toMatchObject({ arrivePaused: true });
    expect(host.live.told).toEqual(['begin', 'let go at 198.51.100.2']);
    expect(result.held).toEqual({ forMs: expect.any(Number) as number });
    expect(result.downtimeMs).toBe(42 + (result.held?.forMs ?? 0));
  });

  it('is let go as soon as QEMU is gone from here, before libvirt has said so', async () => {
    const ends = Promise.withResolvers<undefined>();
    host.live.qemuEnds = ends.promise;
    const moving = moveLive(host.parts, held, fakeAttempt());
    await told('begin');
    expect(host.live.told).toEqual(['begin']);
    ends.resolve(undefined);
    await told('let go at 198.51.100.2');
    host.live.end('moved-away');
    expect((await moving).held).toEqual({ forMs: expect.any(Number) as number });
  });

  it('is left to the target where it cannot be reached from here', async () => {
    host.live.letGoFails = new Error('no way there');
    const moving = moveLive(host.parts, held, fakeAttempt());
    await told('begin');
    host.live.end('moved-away');
    expect((await moving).held).toEqual({ trouble: 'no way there' });
  });

  it('is let go by nobody while this host still has it', async () => {
    const moving = moveLive(host.parts, held, fakeAttempt());
    await told('begin');
    const lost = transient({ code: 'live-interrupted', message: 'lost', remedy: '' });
    host.live.end('running', lost);
    expect(await moving).not.toHaveProperty('held');
    expect(host.live.told).toEqual(['begin']);
  });

  it('stays as a person had paused it', async () => {
    host.live.place = 'paused';
    const moving = moveLive(host.parts, held, fakeAttempt());
    await told('begin');
    host.live.end('moved-away');
    expect((await moving).held).toEqual({ keepPaused: true });
    expect(host.live.told).toEqual(['begin']);
  });

  it('is told of by an attempt that came after its arrival', async () => {
    await host.folder.write('live', { run: 1, steps: [], arrivesPaused: true });
    host.live.place = 'moved-away';
    expect((await moveLive(host.parts, held, fakeAttempt())).held).toEqual({});
  });
});

describe('a guest that is not held and was taken back at the switch', () => {
  const lost = transient({ code: 'live-interrupted', message: 'the answer was lost', remedy: '' });
  const unknown = { fault: { code: 'live-outcome-unknown' } };

  it('is paused at once, until both hosts were asked', async () => {
    const moving = moveLive(host.parts, order(1), fakeAttempt());
    await told('begin');
    host.live.cameBack = true;
    host.live.end('running', lost);
    expect(await moving).toMatchObject(unknown);
    expect(host.live.told).toEqual(['begin', 'pause']);
    expect((await host.folder.read('live'))?.paused).toBe(true);
  });

  it('leaves no fault behind that nobody awaits, where this host does not answer then', async () => {
    const { promise: seen, resolve: isSeen } = Promise.withResolvers<undefined>();
    // As a watch that hears nothing of the end, until it is called off.
    host.live.watch = async function* (_uuid, options) {
      yield pass(100);
      isSeen(undefined);
      await new Promise((resolve) => options?.signal?.addEventListener('abort', resolve));
    };
    const moving = moveLive(host.parts, order(1), fakeAttempt());
    await seen;
    host.live.viewOf = () => Promise.reject(new Error('libvirt is away'));
    host.live.end('running', lost);
    await expect(moving).rejects.toThrow('libvirt is away');
  });

  it('is paused by the next attempt where the first one died', async () => {
    await host.folder.write('live', { run: 1, steps: [] });
    host.live.cameBack = true;
    expect(await moveLive(host.parts, order(1), fakeAttempt())).toMatchObject(unknown);
    expect(host.live.told).toEqual(['pause']);
  });

  it('goes on where the run was undone by our own order', async () => {
    const attempt = fakeAttempt();
    const moving = moveLive(host.parts, order(1), attempt);
    await told('begin');
    host.live.show(pass(100));
    host.live.cameBack = true;
    attempt.cancel();
    host.live.show(pass(200));
    await expect(moving).rejects.toThrow('CANCELLED');
    expect(host.live.told).toEqual(['begin', 'abort']);
  });
});
