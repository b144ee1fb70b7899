/**
 * A real Debian in an OVA, converted by the real tools, started on its target: its static address answers. By emulation
 * it took 21 minutes beside the rest of the lab, 15 of them the import: so only where it is asked for,
 * VMFERRY_CONVERT=all.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFailed } from 'vitest';
import { debianNetwork, ensureDebianGuest } from '../../../lab/guests/debian.ts';
import { missingGuestTools } from './guest-tools.ts';
import { importEnded, labRequest, openImportStage } from './import-stage.ts';
import { MiB, putImageOnShelf } from './shelf.ts';

/** Beside the whole lab it took 21 minutes, its guest made before. */
const limitMs = 25 * 60_000;
const bootMs = 10 * 60_000;
const programs = ['mmdebstrap', 'sfdisk', 'partx', 'busybox'];

it.runIf(process.env['VMFERRY_CONVERT'] === 'all')(
  'brings a real Debian by the real tools, and its static address answers',
  async ({ skip }) => {
    const missing = await missingGuestTools(programs);
    if (missing !== '') skip(missing);
    const dir = await mkdtemp(join(tmpdir(), 'import-debian-'));
    await using closing = new AsyncDisposableStack();
    closing.defer(() => rm(dir, { recursive: true, force: true }));
    const guest = await ensureDebianGuest();
    const { sizeBytes } = guest;
    const image = await readFile(guest.vmdk);
    await putImageOnShelf(join(dir, 'ova'), { name: 'debian', sizeBytes }, image);
    const providers = { shelf: { kind: 'ova', folder: join(dir, 'ova') } };
    const stage = await openImportStage({ name: 'import-debian', providers });
    closing.defer(() => stage.close());
    onTestFailed(async () => console.error(await stage.logs()));

    const began = performance.now();
    const asked = { provider: 'shelf', vm: 'debian.ova#debian', shape: { memoryBytes: 512 * MiB } };
    const handle = await stage.start(labRequest({ ...asked, convert: 'yes', autoStart: true }));
    const report = await importEnded(handle, limitMs);
    expect(report).toMatchObject({
      ...{ phase: 'committed', targetRunning: true },
      conversion: { virtio: true, already: false },
    });
    const imported = performance.now();
    // From the other host, over the cable between them.
    const alpha = stage.lab.host('alpha');
    const { address } = debianNetwork;
    const ping = async (): Promise<boolean> => {
      const command = ['busybox', 'ping', '-c', '1', '-W', '2', address];
      return !(await alpha.exec(command, { timeoutMs: 30_000, reject: false })).failed;
    };
    await expect.poll(ping, { timeout: bootMs, interval: 500 }).toBe(true);
    const neighbour = await alpha.exec(['ip', 'neigh', 'show', address], { timeoutMs: 10_000 });
    const mac = /lladdr (\S+)/.exec(neighbour.stdout)?.[1];
    expect(mac).toBeDefined();
    expect(await stage.virsh('beta', 'dumpxml', 'debian')).toContain(`<mac address='${mac}'/>`);

    const seconds = (fromMs: number, toMs: number): string => ((toMs - fromMs) / 1000).toFixed(0);
    const converting = seconds(0, report.conversion?.elapsedMs ?? Number.NaN);
    const booting = seconds(imported, performance.now());
    const whole = seconds(began, imported);
    console.log(`import ${whole} s, virt-v2v-in-place ${converting} s of it; boot ${booting} s`);
  },
  limitMs,
);
