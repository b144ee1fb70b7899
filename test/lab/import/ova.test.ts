import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, onTestFailed, onTestFinished } from 'vitest';
import { VmFerry } from '../../../client/vmferry.ts';
import { loadConfig } from '../../../config/load.ts';
import { Ledger } from '../../../guard/ledger.ts';
import type { LabHost } from '../../../lab/host.ts';
import {
  hashOf,
  importEnded,
  labRequest,
  namesIn,
  untilImport,
  volumeHash,
} from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';
import { openShelfStage } from './shelf-stage.ts';
import { MiB, putOnShelf, randomDisk } from './shelf.ts';

const sizeBytes = 96 * MiB;
/** Of them. */
const dataBytes = 48 * MiB;

let stage: ImportStage;
let rawHash: string;
let folder: string;

beforeAll(async () => {
  stage = await openShelfStage('import-ova', {
    fill: async ({ dir, shelf }) => {
      folder = shelf;
      const raw = await randomDisk(join(dir, 'web.raw'), { sizeBytes, dataBytes });
      await putOnShelf(shelf, { name: 'web', raw, sizeBytes });
      rawHash = await hashOf(raw);
    },
  });
}, 240_000);
afterAll(() => stage.close(), 60_000);

const ledgerOf = (host: LabHost): Ledger =>
  new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name });
const showLogs = (): void => onTestFailed(async () => console.error(await stage.logs()));
const ova = (changes: Partial<Parameters<typeof labRequest>[0]> = {}) =>
  labRequest({ provider: 'shelf', vm: 'web.ova#web', ...changes });

describe('a machine of an OVA', () => {
  it('comes to the target with its bytes, runs there and is committed', async () => {
    showLogs();
    const handle = await stage.start(ova({ autoStart: true }), 'web');
    const report = await importEnded(handle);
    expect(report).toMatchObject({
      ...{ phase: 'committed', oneRunning: 'observed', targetRunning: true },
      disks: [{ name: 'sda', verified: true, bytesRecopied: 0, bytesFromCache: 0 }],
    });
    expect(report.disks[0]!.bytesCopied).toBeGreaterThanOrEqual(dataBytes);
    expect(await stage.virsh('beta', 'domstate', 'web')).toBe('running');
    await stage.virsh('beta', 'destroy', 'web');
    const hash = await volumeHash(stage, 'beta', 'web-0.qcow2');
    expect(hash).toBe(rawHash);
    expect(await namesIn(stage.cacheDir)).toEqual([]);
    await stage.virsh('beta', 'undefine', 'web');
  });

  it('that was piped in comes with its bytes', async () => {
    showLogs();
    const config = join(stage.dir, 'vmferry-alpha.yaml');
    const { stdout } = await execa(
      new URL('../../../bin/vmferry', import.meta.url).pathname,
      ['--config', config, 'save-ova', 'piped.ova', '--provider', 'shelf', '-o', 'json'],
      { inputFile: join(folder, 'web.ova'), timeout: 60_000 },
    );
    const [vm] = (JSON.parse(stdout) as { vms: { id: string }[] }).vms;
    const handle = await stage.start(ova({ vm: vm!.id, shape: { name: 'piped' } }), 'web');
    expect((await importEnded(handle)).phase).toBe('committed');
    expect(await volumeHash(stage, 'beta', 'piped-0.qcow2')).toBe(rawHash);
    await stage.virsh('beta', 'undefine', 'piped');
  });

  it('goes on after kill -9 of the worker in mid-copy, and copies nothing twice', async () => {
    showLogs();
    const bandwidthBytesPerSecond = 8 * MiB;
    const request = ova({ bandwidthBytesPerSecond, shape: { name: 'killed' } });
    const handle = await stage.start(request, 'web');
    await untilImport(handle, async ({ phase }) => {
      if (phase !== 'copying') return false;
      const { raw } = await handle.describe();
      const [beat] = raw.pendingActivities ?? [];
      return (beat?.heartbeatDetails?.payloads?.length ?? 0) > 0;
    });
    await stage.fleet.worker('alpha').kill9();
    const report = await importEnded(handle);
    expect(report.phase).toBe('committed');
    expect(report.firstError?.code).toBe('worker-lost');
    const [disk] = report.disks;
    // What had been read and was not on stable storage yet crosses again: less than the copier may hold.
    expect(disk!.bytesRecopied).toBeLessThanOrEqual(48 * MiB);
    expect(disk!.bytesCopied - disk!.bytesRecopied).toBeLessThanOrEqual(dataBytes + 2 * MiB);
    expect(await volumeHash(stage, 'beta', 'killed-0.qcow2')).toBe(rawHash);
    await stage.virsh('beta', 'undefine', 'killed');
  });

  it('leaves nothing on the target when it is called off, and the next import takes its copy', async () => {
    showLogs();
    const request = ova({ bandwidthBytesPerSecond: 8 * MiB, shape: { name: 'again' } });
    const first = await stage.start(request, 'web');
    await untilImport(first, ({ phase }) => phase === 'transferring');
    await first.cancel();
    const called = await importEnded(first);
    expect(called.phase).toBe('cancelled');
    expect(called.cachedUntil).toBeDefined();
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('again');
    expect(await stage.virsh('beta', 'vol-list', 'default')).not.toContain('again');
    const second = await stage.start(ova({ shape: { name: 'again' } }), 'web');
    const report = await importEnded(second);
    expect(report).toMatchObject({ phase: 'committed', disks: [{ bytesCopied: 0 }] });
    expect(report.disks[0]!.bytesFromCache).toBeGreaterThanOrEqual(dataBytes);
    expect(await volumeHash(stage, 'beta', 'again-0.qcow2')).toBe(rawHash);
    await stage.virsh('beta', 'undefine', 'again');
  });

  it('holds to the caps of its conversion host both ways, changed in mid-copy', async () => {
    showLogs();
    const { ferry } = stage;
    const rate = MiB;
    const alpha = stage.lab.host('alpha');
    // One that no route chooses.
    const own = '198.51.100.211';
    await alpha.exec(['ip', 'addr', 'add', `${own}/32`, 'dev', 'lo'], { timeoutMs: 10_000 });
    await stage.configure({ conversion: { cacheDir: stage.cacheDir, network: `${own}/32` } });
    await ferry.setConversionHost('alpha', { downBytesPerSecond: rate, upBytesPerSecond: rate });
    const handle = await stage.start(ova({ shape: { name: 'capped' } }), 'web');
    for (const [step, lift] of [
      ['copy', { downBytesPerSecond: 0 }],
      ['transfer', { upBytesPerSecond: 0 }],
    ] as const) {
      const heldMs = 10_000;
      const begun = await untilImport(handle, ({ steps }) => {
        const { startedAt } = steps.find(({ name }) => name === step)!;
        return startedAt !== undefined && Date.now() - Date.parse(startedAt) > heldMs;
      });
      const { startedAt, state } = begun.steps.find(({ name }) => name === step)!;
      expect(state).toBe('running');
      const status = await (await ferry.work(handle.workflowId)).status();
      const sinceMs = Date.now() - Date.parse(startedAt!);
      const doneBytes = status.progress.reduce((sum, one) => sum + one.doneBytes, 0);
      expect(doneBytes).toBeGreaterThan(0);
      // What may be on its way beside it: a burst, and a chunk of debt.
      expect(doneBytes).toBeLessThanOrEqual((sinceMs / 1000) * rate + 4 * MiB);
      if (step === 'transfer') {
        const { stdout } = await alpha.exec(['ss', '-Hltn'], { timeoutMs: 10_000 });
        expect(stdout).toContain(`${own}:`);
      }
      const liftedMs = performance.now();
      await ferry.setConversionHost('alpha', lift);
      await untilImport(handle, ({ steps }) =>
        steps.some(({ name, state: now }) => name === step && now === 'done'),
      );
      const tookMs = performance.now() - liftedMs;
      console.log(`${step}: ${doneBytes} bytes in ${sinceMs} ms, then the rest in ${tookMs} ms`);
      // Held to the cap it would take this long.
      expect(tookMs).toBeLessThan(((dataBytes - doneBytes) / rate) * 1000 * 0.8);
    }
    expect((await importEnded(handle)).phase).toBe('committed');
    expect(await volumeHash(stage, 'beta', 'capped-0.qcow2')).toBe(rawHash);
    const { state, facts } = await ferry.conversionHost('alpha');
    expect(state?.inForce).toMatchObject({ downBytesPerSecond: 0, upBytesPerSecond: 0 });
    expect(facts).toMatchObject({ running: 0, promisedBytes: 0 });
    const { samples, cacheDisk } = await ferry.conversionUsage('alpha', '15m');
    expect(samples.at(-1)?.disks[cacheDisk]?.usedBytes).toBeGreaterThan(0);
    await stage.virsh('beta', 'undefine', 'capped');
  });

  it('whose import is terminated in mid-transfer leaves its volume set aside, and runs nowhere', async () => {
    showLogs();
    const asked = { bandwidthBytesPerSecond: 8 * MiB, shape: { name: 'ended' }, autoStart: true };
    const handle = await stage.start(ova(asked), 'web');
    await untilImport(handle, ({ phase }) => phase === 'transferring');
    await handle.terminate('by hand, in mid-transfer');
    const ferry = await VmFerry.connect({ config: loadConfig({ path: stage.fleet.configPath }) });
    onTestFinished(() => ferry.close());
    // Each question is a look of both hosts; what they see to be over has to be so for a while.
    await expect
      .poll(
        async () => {
          const { orphans } = await ferry.orphans();
          return orphans.map(({ host, kind, vm }) => `${host} ${kind} ${vm.name}`);
        },
        { timeout: 120_000, interval: 1_000 },
      )
      .toEqual(['beta volume ended']);
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('ended');
    const { entries } = await ledgerOf(stage.lab.host('beta')).list();
    expect(entries.find(({ name }) => name === 'ended')).toMatchObject({ state: 'quarantined' });
    const told = await ferry.work(handle.workflowId);
    expect(await told.story()).toMatchObject({ end: 'terminated', phase: 'transferring' });
  });
});
