import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { vcenterShortcoming } from '../../../lab/vcenter/program.ts';
import { machine, MIB, startVcenter } from '../../contract/foreign/vsphere-fixture.ts';
import type { Vcenter } from '../../contract/foreign/vsphere-fixture.ts';
import { VsphereSource } from '../../../platforms/vsphere/source.ts';
import {
  hashOf,
  importEnded,
  labRequest,
  openImportStage,
  untilImport,
  volumeHash,
} from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';

const shortcoming = await vcenterShortcoming();
/** Of the door from the hosts to the vCenter. */
const insidePort = 8443;
const diskBytes = 32 * MIB;

let dir: string;
let vcenter: Vcenter;
let stage: ImportStage;
let hash: string;

async function makeDisk(): Promise<string> {
  const path = join(dir, 'disk.raw');
  await using file = await open(path, 'w');
  await file.truncate(diskBytes);
  await file.write(randomBytes(8 * MIB), 0, 8 * MIB, MIB);
  return path;
}

/** IDs of the machines by their names. */
async function idOf(name: string): Promise<string> {
  const source = await VsphereSource.open({
    ...{ url: vcenter.url, username: vcenter.username, password: vcenter.password },
    trust: { sha256: vcenter.thumbprintSha256 },
  });
  try {
    return (await source.inspect(name)).id;
  } finally {
    await source.close();
  }
}

describe.skipIf(shortcoming !== undefined)('a VM of a vCenter', () => {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'import-vsphere-'));
    const file = await makeDisk();
    hash = await hashOf(file);
    const disks = [{ key: 2000, sizeBytes: diskBytes, controller: 'scsi' as const, file }];
    const nic = (nth: number) => [{ mac: `00:50:56:00:00:0${nth}`, model: 'vmxnet3' as const }];
    vcenter = await startVcenter({
      vms: [
        machine('off', { disks, nics: nic(1) }),
        machine('runs', { disks, nics: nic(2), running: true }),
        machine('woken', { disks, nics: nic(3) }),
        machine('leased', { disks, nics: nic(4) }),
      ],
    });
    stage = await openImportStage({ name: 'import-vsphere', providers: {} });
    await stage.lab.forward({ insidePort, to: { host: '127.0.0.1', port: vcenter.port } });
    stage.fleet.setEnvironment('alpha', { VCENTER_PASSWORD: vcenter.password });
    const vc = {
      kind: 'vsphere' as const,
      address: `${stage.lab.controlAddress}:${insidePort}`,
      user: vcenter.username,
      password: 'env:VCENTER_PASSWORD',
      thumbprint: vcenter.thumbprintSha256,
    };
    await stage.configure({ providers: { vc, nfc: { ...vc, dataPath: 'nfc' } } });
  }, 300_000);
  afterAll(async () => {
    await stage.close();
    await vcenter.close();
    await rm(dir, { recursive: true, force: true });
  }, 60_000);

  it('comes with its bytes when it is off, and leaves no login', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await idOf('off');
    const report = await importEnded(await stage.start(labRequest({ provider: 'vc', vm }), 'off'));
    expect(report).toMatchObject({
      ...{ phase: 'committed', clone: false, oneRunning: 'observed' },
      disks: [
        { way: 'by HTTPS from /folder: dataPath is auto, and vddk.libdir is not configured' },
      ],
    });
    expect(await volumeHash(stage, 'beta', 'off-0.qcow2')).toBe(hash);
    const macs = await stage.virsh('beta', 'domiflist', 'off');
    expect(macs).toContain('00:50:56:00:00:01');
    expect(await vcenter.stats()).toMatchObject({ sessions: 0, snapshots: 0 });
  });

  it('comes by NFC, and leaves no lease', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await idOf('leased');
    const handle = await stage.start(labRequest({ provider: 'nfc', vm }), 'leased');
    expect(await importEnded(handle)).toMatchObject({
      ...{ phase: 'committed', oneRunning: 'observed' },
      disks: [{ way: 'by NFC: dataPath is nfc' }],
    });
    expect(await volumeHash(stage, 'beta', 'leased-0.qcow2')).toBe(hash);
    expect(await vcenter.stats()).toMatchObject({
      sessions: 0,
      leases: 0,
      completed: 1,
      aborted: 0,
    });
  });

  it('is shut down by its guest, comes, and runs on the target alone', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await idOf('runs');
    const report = await importEnded(await stage.start(labRequest({ provider: 'vc', vm }), 'runs'));
    expect(report).toMatchObject({
      ...{ phase: 'committed', oneRunning: 'observed', targetRunning: true, sourceRunning: false },
    });
    expect(await stage.virsh('beta', 'domstate', 'runs')).toBe('running');
    expect(await vcenter.stats()).toMatchObject({ sessions: 0 });
  });

  it('is not started on the target once somebody powered it on during the copy', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const vm = await idOf('woken');
    const request = labRequest({
      ...{ provider: 'vc', vm, autoStart: true },
      bandwidthBytesPerSecond: 2 * MIB,
    });
    const handle = await stage.start(request, 'woken');
    await untilImport(handle, ({ phase }) => phase === 'copying');
    await vcenter.command({ op: 'power', vm: 'woken', on: true });
    const report = await importEnded(handle);
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'source-changed' } });
    expect(report.cachedUntil).toBeUndefined();
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('woken');
    expect(await vcenter.stats()).toMatchObject({ sessions: 0 });
  });
});
