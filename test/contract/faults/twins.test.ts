/**
 * The hosts in memory that the fault table runs on, held to the real ones: each promise of `activities/parts.ts` that a
 * verb leans on is asked of both.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DataPlane, Hypervisor } from '../../../activities/parts.ts';
import type { HostConfig } from '../../../config/schema.ts';
import { installHook, reloadLibvirtd } from '../../../guard/install.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { NbdDataPlane } from '../../../workers/data-plane.ts';
import { LibvirtHypervisor } from '../../../workers/hypervisor.ts';
import {
  diskBytes,
  MemoryHost,
  memoryDataPlane,
  memoryHypervisor,
  vm,
} from '../../quick/faults/memory-host.ts';
import { fileDisk, GuardedHost, guestXml } from '../guard/guarded-host.ts';
import { makePki } from '../platforms/pki.ts';

interface Twin {
  hypervisor: Hypervisor;
  dataPlane: DataPlane;
  ledger: Ledger;
  pool: string;
  /** Defines the VM with its disk in the pool, off and without autostart. */
  define(): Promise<void>;
  clear(): Promise<void>;
  close(): Promise<void>;
}

const disk = (twin: Twin) => join(twin.pool, 'web.raw');
const { signal } = new AbortController();
const content = Buffer.alloc(diskBytes, 'the data ');
const migrationId = 'a-move';

async function inMemory(): Promise<Twin> {
  const dir = await mkdtemp(join(tmpdir(), 'vmferry-twin-'));
  const pool = join(dir, 'pool');
  await mkdir(pool);
  const ledger = new Ledger({ stateDir: join(dir, 'state'), host: 'alpha' });
  const world = { hosts: new Map<string, MemoryHost>(), splitBrain: undefined, log: [] };
  const host = new MemoryHost({ name: 'alpha', ledger, pool, world });
  const twin: Twin = {
    hypervisor: memoryHypervisor(host),
    dataPlane: memoryDataPlane(host),
    ledger,
    pool,
    define: async () => {
      await writeFile(disk(twin), content);
      host.defined = { xml: `disk=${disk(twin)}`, running: false, autostart: false, state: '' };
    },
    clear: () => {
      host.defined = undefined;
      return Promise.resolve();
    },
    close: () => rm(dir, { recursive: true, force: true }),
  };
  return twin;
}

async function real(): Promise<Twin> {
  const host = await GuardedHost.start();
  const { dir, stateDir, ledger } = host;
  await installHook({ hooksDir: host.hooksDir, stateDir });
  // A libvirtd that has not come up yet ignores the signal.
  await host.must('list');
  const pidFile = await host.file('libvirtd.pid', `${await host.daemonPid()}\n`);
  await reloadLibvirtd({ pidFile });
  const pool = join(dir, 'pool');
  await mkdir(pool);
  await host.must('pool-create-as', 'default', 'dir', '--target', pool);
  const tls = (await makePki(join(dir, 'pki'), ['alpha'])).dirOf('alpha');
  const first = 28_000 + (process.pid % 400) * 8;
  // What the parts below read of a host's configuration.
  const config = {
    name: 'alpha',
    stateDir,
    migrationAddress: '127.0.0.1',
    exportPorts: { first, last: first + 7 },
    libvirt: { socket: host.daemon.unixPath, uri: 'qemu:///system' },
    tls: {
      dir: tls,
      ca: join(tls, 'ca-cert.pem'),
      cert: join(tls, 'client-cert.pem'),
      key: join(tls, 'client-key.pem'),
    },
  } as HostConfig;
  const hypervisor = new LibvirtHypervisor(config, ledger);
  // libvirtd sees a new hook only once it has come to the signal.
  await vi.waitFor(
    async () => {
      const { live, detail } = await hypervisor.probeGuard();
      if (!live) throw new Error(detail);
    },
    { timeout: 20_000 },
  );
  const twin: Twin = {
    hypervisor,
    dataPlane: new NbdDataPlane(config),
    ledger,
    pool,
    define: async () => {
      await writeFile(disk(twin), content);
      const xml = guestXml(vm.name, vm.uuid, fileDisk(disk(twin)));
      await host.must('define', await host.file('web.xml', xml));
    },
    clear: async () => {
      await host.virsh('destroy', vm.uuid);
      await host.virsh('undefine', vm.uuid);
    },
    close: async () => {
      await hypervisor.close();
      await host.stop();
    },
  };
  return twin;
}

describe.each([
  ['in memory', inMemory],
  ['of libvirt', real],
])('a host %s', (_what, open) => {
  let twin: Twin;
  let hypervisor: Hypervisor;
  let dataPlane: DataPlane;
  beforeAll(async () => {
    twin = await open();
    ({ hypervisor, dataPlane } = twin);
  });
  afterAll(() => twin.close());
  beforeEach(async () => {
    await twin.clear();
    const entry = await twin.ledger.read(vm.uuid);
    if (entry !== undefined) await twin.ledger.remove(vm.uuid, entry);
    await twin.define();
  });

  it('tells what it has, and that it does not have another', async () => {
    expect(await hypervisor.inspect(vm.uuid)).toMatchObject({
      ...vm,
      state: 'shut-off',
      persistent: true,
      autostart: false,
      disks: [{ name: 'vda', path: disk(twin), capacityBytes: diskBytes, pool: 'default' }],
    });
    for (const word of [vm.uuid, vm.name])
      expect(await hypervisor.glance(word)).toEqual({
        ...{ uuid: vm.uuid, name: vm.name, state: 'shut-off', autostart: false },
      });
    await twin.clear();
    expect(await hypervisor.state(vm.uuid)).toBeUndefined();
    await expect(hypervisor.glance(vm.uuid)).rejects.toMatchObject({ code: 'vm-not-found' });
    await expect(hypervisor.inspect(vm.uuid)).rejects.toMatchObject({ code: 'vm-not-found' });
    await expect(hypervisor.start(vm.uuid)).rejects.toMatchObject({ code: 'vm-not-found' });
  });

  it('starts twice as once, and is off after being forced off, twice as once', async () => {
    await hypervisor.start(vm.uuid);
    await hypervisor.start(vm.uuid);
    expect(await hypervisor.state(vm.uuid)).toBe('running');
    expect(await hypervisor.reasonsNotStopped(vm.uuid)).not.toEqual([]);
    await hypervisor.watchHealth(vm.uuid, { forMs: 100, signal });
    await hypervisor.forceOff(vm.uuid);
    expect(await hypervisor.waitUntilOff(vm.uuid, { timeoutMs: 10_000, signal })).toBe(true);
    await hypervisor.forceOff(vm.uuid);
    expect(await hypervisor.state(vm.uuid)).toBe('shut-off');
    await expect.poll(() => hypervisor.reasonsNotStopped(vm.uuid), { timeout: 10_000 }).toEqual([]);
  });

  it.each(['migrating-out', 'released', 'incoming'] as const)(
    'refuses a start while its ledger says %s',
    async (to) => {
      if (to === 'released') {
        const owner = { to: 'owner' as const, epoch: 1, migrationId: '', name: vm.name, note: '' };
        await twin.ledger.transition(vm.uuid, owner);
      }
      await twin.ledger.transition(vm.uuid, {
        to,
        epoch: 1,
        migrationId,
        name: vm.name,
        note: 'n',
      });
      await expect(hypervisor.start(vm.uuid)).rejects.toMatchObject({
        code: 'start-refused-by-guard',
      });
      expect(await hypervisor.state(vm.uuid)).toBe('shut-off');
    },
  );

  it('sets autostart as told, twice as once', async () => {
    for (const autostart of [true, true, false]) {
      await hypervisor.setAutostart(vm.uuid, autostart);
      expect((await hypervisor.inspect(vm.uuid)).autostart).toBe(autostart);
    }
  });

  it('forgets a definition twice as once, and its disk stays', async () => {
    await hypervisor.undefine(vm.uuid, { state: 'remove' });
    await hypervisor.undefine(vm.uuid, { state: 'remove' });
    expect(await hypervisor.state(vm.uuid)).toBeUndefined();
    expect(await readFile(disk(twin))).toEqual(content);
  });

  it('does not forget a VM that runs', async () => {
    await hypervisor.start(vm.uuid);
    await expect(hypervisor.undefine(vm.uuid)).rejects.toThrow();
    expect(await hypervisor.state(vm.uuid)).toBe('running');
  });

  it('makes a volume once, refuses one that is not the move’s own, and deletes it once', async () => {
    const wanted = {
      pool: 'default',
      name: 'new.raw',
      capacityBytes: diskBytes,
      format: 'raw',
      allocation: 'thin',
    } as const;
    expect(await hypervisor.volumeExists('default', 'new.raw')).toBe(false);
    const made = await hypervisor.ensureVolume({ ...wanted, ownedByMove: false });
    expect(made).toMatchObject({ kind: 'file', path: join(twin.pool, 'new.raw') });
    expect(await hypervisor.ensureVolume({ ...wanted, ownedByMove: true })).toEqual(made);
    expect(await hypervisor.volumeExists('default', 'new.raw')).toBe(true);
    const foreign = hypervisor.ensureVolume({ ...wanted, ownedByMove: false });
    await expect(foreign).rejects.toMatchObject({ code: 'volume-exists' });
    const volume = { ...made, format: 'raw' as const };
    expect(await hypervisor.deleteVolume(volume)).toBe(true);
    expect(await hypervisor.deleteVolume(volume)).toBe(true);
    expect(await hypervisor.volumeExists('default', 'new.raw')).toBe(false);
  });

  it('writes one word beside a disk, finds it by its value alone, and takes it away', async () => {
    const { disks } = await hypervisor.inspect(vm.uuid);
    const [first] = await hypervisor.writeNonces(migrationId, disks);
    const [again] = await hypervisor.writeNonces(migrationId, disks);
    expect(again).toEqual(first);
    expect(first).toMatchObject({ disk: 'vda' });
    const find = (value: string) =>
      hypervisor.findNonce({ ...first!, value }, disks[0]!, 'default');
    expect(await find(first!.value)).toMatchObject({ kind: 'file', path: disk(twin) });
    expect(await find('another word')).toBeUndefined();
    await hypervisor.removeNonces(migrationId, disks);
    await hypervisor.removeNonces(migrationId, disks);
    expect(await find(first!.value)).toBeUndefined();
  });

  it('gives one export for one disk, however often it is asked, and none once it is closed', async () => {
    const wanted = {
      migrationId,
      name: 'vda',
      path: disk(twin),
      format: 'raw',
      target: 'alpha',
    } as const;
    const endpoint = await dataPlane.ensureExport(wanted);
    expect(await dataPlane.ensureExport(wanted)).toEqual(endpoint);
    const source = await dataPlane.openRemote(endpoint, { signal, host: 'alpha' });
    const read = Buffer.alloc(diskBytes);
    await source.read(0, read, signal);
    await source.close();
    expect(read).toEqual(content);
    await dataPlane.closeExports(migrationId);
    await dataPlane.closeExports(migrationId);
    await expect(dataPlane.openRemote(endpoint, { signal, host: 'alpha' })).rejects.toThrow();
  });

  it('keeps what was written and flushed', async () => {
    const path = disk(twin);
    const sink = await dataPlane.openSink({ path, format: 'raw', sizeBytes: diskBytes, signal });
    await sink.write(4096, Buffer.alloc(4096, 'x'), signal);
    await sink.writeZeroes(8192, 4096, signal);
    await sink.flush();
    await sink.close();
    const local = await dataPlane.openLocal({ path, format: 'raw', signal });
    const read = Buffer.alloc(diskBytes);
    await local.read(0, read, signal);
    await local.close();
    const expected = Buffer.from(content);
    expected.fill('x', 4096, 8192).fill(0, 8192, 12_288);
    expect(read).toEqual(expected);
  });
});
