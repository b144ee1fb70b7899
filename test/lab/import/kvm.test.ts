import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import type { ImportRequest } from '../../../domain/import.ts';
import { openForeignHost } from './foreign-kvm.ts';
import type { ForeignLogin } from './foreign-kvm.ts';
import {
  imageHash,
  importEnded,
  labRequest,
  openImportStage,
  untilImport,
  volumeHash,
} from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';

let dir: string;
let stage: ImportStage;
let login: ForeignLogin;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-kvm-'));
  stage = await openImportStage({
    name: 'import-kvm',
    hosts: ['alpha', 'beta', 'old'],
    providers: {},
  });
  login = await openForeignHost(stage.lab.host('old'), dir);
  await stage.configure({ providers: { attic: login.provider } });
}, 240_000);
afterEach(() => stage.endGuests('old', 'beta'));
afterAll(async () => {
  login.end();
  await stage.close();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

const dataDisk = { sizeMiB: 64, fillMiB: 16, format: 'qcow2' as const };
const bring = (vm: string, changes: Partial<ImportRequest> = {}) =>
  labRequest({ provider: 'attic', vm, ...changes });

describe('a VM of a foreign KVM host', () => {
  it('comes with its bytes when it is off', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await stage.vm('old', { name: 'off', dataDisk });
    const report = await importEnded(await stage.start(bring(vm.uuid), 'off'));
    expect(report).toMatchObject({
      ...{ phase: 'committed', clone: false, oneRunning: 'observed', targetRunning: false },
      vm: { name: 'off', uuid: vm.uuid },
    });
    const there = await volumeHash(stage, 'beta', 'off-0.qcow2');
    expect(await imageHash(stage, 'old', vm.diskPath)).toBe(there);
    expect(await login.traces(report.runId)).toEqual([]);
  });

  it('is shut down, comes, and runs on the target alone', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await stage.vm('old', { name: 'runs', dataDisk, run: true });
    const report = await importEnded(await stage.start(bring(vm.uuid), 'runs'));
    expect(report).toMatchObject({
      ...{ phase: 'committed', oneRunning: 'observed', targetRunning: true, sourceRunning: false },
    });
    expect(report.downtimeMs).toBeGreaterThan(0);
    expect(await stage.virsh('old', 'domstate', 'runs')).toBe('shut off');
    expect(await stage.virsh('beta', 'domstate', 'runs')).toBe('running');
    expect(await login.traces(report.runId)).toEqual([]);
  });

  it('runs again at its place when the import is called off after its shutdown', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await stage.vm('old', { name: 'back', dataDisk, run: true });
    const handle = await stage.start(bring(vm.uuid, { bandwidthBytesPerSecond: 2 ** 20 }), 'back');
    await untilImport(handle, ({ phase }) => phase === 'copying');
    expect(await stage.virsh('old', 'domstate', 'back')).toBe('shut off');
    await handle.cancel();
    const report = await importEnded(handle);
    expect(report).toMatchObject({ phase: 'cancelled', sourceRunning: true });
    expect(await stage.virsh('old', 'domstate', 'back')).toBe('running');
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('back');
    expect(await login.traces(report.runId)).toEqual([]);
  });

  it('is left running through kill -9 of the worker, which leaves nothing on the host', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await stage.vm('old', { name: 'cut', dataDisk, run: true });
    const request = bring(vm.uuid, { running: 'leave', bandwidthBytesPerSecond: 2 ** 20 });
    const handle = await stage.start(request, 'cut');
    await untilImport(handle, async ({ phase, runId }) => {
      const isOpen = (await login.traces(runId)).length > 0;
      return phase === 'copying' && isOpen;
    });
    await stage.fleet.worker('alpha').kill9({ stayDown: true });
    await handle.cancel();
    const worker = stage.fleet.worker('alpha');
    worker.start();
    const report = await importEnded(handle);
    expect(report.phase).toBe('cancelled');
    expect(await login.traces(report.runId)).toEqual([]);
    expect(await stage.virsh('old', 'domstate', 'cut')).toBe('running');
    // No backup job is left: another one can begin.
    await expect(stage.virsh('old', 'backup-dumpxml', 'cut')).rejects.toThrow();
  });

  it.each([
    ['pause', 'paused'],
    ['shutdown', 'shut off'],
  ] as const)(
    'runs again where its import with %s is terminated in Temporal',
    async (running, then) => {
      onTestFailed(async () => console.error(await stage.logs()));
      const name = `killed-${running}`;
      const vm = await stage.vm('old', { name, dataDisk, run: true });
      const request = bring(vm.uuid, { running, bandwidthBytesPerSecond: 2 ** 20 });
      const handle = await stage.start(request, name);
      const { runId } = await untilImport(handle, async ({ phase }) => {
        return phase === 'copying' && (await stage.virsh('old', 'domstate', name)) === then;
      });
      await handle.terminate('by hand, in mid-copy');
      // Its upkeep looks at once when it starts.
      const worker = stage.fleet.worker('alpha');
      await worker.stop();
      worker.start();
      await expect
        .poll(() => stage.virsh('old', 'domstate', name), { timeout: 120_000, interval: 500 })
        .toBe('running');
      await expect.poll(() => login.traces(runId), { timeout: 30_000, interval: 500 }).toEqual([]);
      expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain(name);
    },
  );

  it('stands still for its copy, comes as a clone with the bytes of that moment, and goes on', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await stage.vm('old', { name: 'still', dataDisk, run: true });
    const request = bring(vm.uuid, { running: 'pause', bandwidthBytesPerSecond: 2 * 2 ** 20 });
    const handle = await stage.start(request, 'still');
    const isStill = async () => (await stage.virsh('old', 'domstate', 'still')) === 'paused';
    await untilImport(handle, async ({ phase }) => phase === 'copying' && (await isStill()));
    const then = await imageHash(stage, 'old', vm.diskPath);
    expect(await isStill()).toBe(true);
    const report = await importEnded(handle);
    expect(report).toMatchObject({ phase: 'committed', clone: true, oneRunning: 'none' });
    expect(await volumeHash(stage, 'beta', 'still-0.qcow2')).toBe(then);
    expect(await stage.virsh('old', 'domstate', 'still')).toBe('running');
    expect(await stage.virsh('beta', 'domstate', 'still')).toBe('shut off');
    expect(await login.traces(report.runId)).toEqual([]);
  });

  it('is left running, and comes as a clone that is off', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await stage.vm('old', { name: 'stays', dataDisk, run: true });
    const request = bring(vm.uuid, { running: 'leave', autoStart: true });
    const report = await importEnded(await stage.start(request, 'stays'));
    expect(report).toMatchObject({ phase: 'committed', clone: true, oneRunning: 'none' });
    expect(report.vm.uuid).not.toBe(vm.uuid);
    expect(await stage.virsh('old', 'domstate', 'stays')).toBe('running');
    expect(await stage.virsh('beta', 'domstate', 'stays')).toBe('shut off');
    const macs = await Promise.all(
      ['old', 'beta'].map((host) => stage.virsh(host, 'domiflist', 'stays')),
    );
    const [before, after] = macs.map((text) => /([0-9a-f]{2}:){5}[0-9a-f]{2}/.exec(text)?.[0]);
    expect(after).toBeDefined();
    expect(after).not.toBe(before);
    expect(await login.traces(report.runId)).toEqual([]);
  });
});
