import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { LocalNbdServers } from '../../../platforms/libvirt/local-nbd.ts';
import { fileDisk, run, startTestHost } from './host.ts';
import type { TestHost } from './host.ts';

let host: TestHost;
let raw: string;
const fault = (code: string, handling: string): unknown =>
  expect.objectContaining({ code, handling, host: 'alpha' });

beforeAll(async () => {
  host = await startTestHost();
  raw = join(host.poolDir, 'one.img');
  await run('truncate', ['-s', '16M', raw]);
});
afterEach(() => host.clear());
afterAll(() => host.end());

it('inspects a VM: state, disks with sizes, chain, pool and volume', async () => {
  const base = join(host.poolDir, 'base.img');
  const top = join(host.poolDir, 'top.qcow2');
  await run('truncate', ['-s', '8M', base]);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top, '8M']);
  const uuid = await host.define('full', {
    disks:
      fileDisk(raw) +
      fileDisk(top, 'qcow2', 'vdb') +
      `<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='default' volume='one.img'/><target dev='vdc' bus='virtio'/></disk>` +
      `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>`,
    more: '<on_crash>destroy</on_crash>',
  });
  await host.virsh('autostart', 'full');
  const byName = await host.source.inspect('full');
  expect(await host.source.inspect(uuid.toUpperCase())).toEqual(byName);
  expect(byName).toMatchObject({
    host: 'alpha',
    uuid,
    name: 'full',
    state: 'shut-off',
    persistent: true,
    autostart: true,
    hasManagedSave: false,
    snapshots: [],
    checkpoints: [],
    memoryBytes: 32 * 1024 ** 2,
    vcpus: 1,
    domainType: 'qemu',
    arch: 'x86_64',
  });
  const [vda, vdb, vdc, sda] = byName.disks;
  expect(vda).toMatchObject({
    name: 'vda',
    path: raw,
    capacityBytes: 16 * 1024 ** 2,
    pool: 'default',
    volume: 'one.img',
  });
  expect(vdb).toMatchObject({
    format: 'qcow2',
    capacityBytes: 8 * 1024 ** 2,
    backing: [base],
    volume: 'top.qcow2',
  });
  expect(vdb!.allocationBytes).toBeGreaterThan(0);
  expect(vdc).toMatchObject({
    path: raw,
    pool: 'default',
    volume: 'one.img',
    capacityBytes: 16 * 1024 ** 2,
  });
  expect(sda).toMatchObject({ kind: 'none', device: 'cdrom', capacityBytes: 0 });
});

it('lists VMs with the size of their disks, also one whose disk is missing', async () => {
  await host.define('listed', { disks: fileDisk(raw) });
  await host.define('broken', { disks: fileDisk('/nowhere/x.img') });
  const vms = await host.source.list();
  expect(
    vms.map(({ name, state, diskBytes, memoryBytes }) => [name, state, diskBytes, memoryBytes]),
  ).toEqual([
    ['broken', 'shut-off', 0, 32 * 1024 ** 2],
    ['listed', 'shut-off', 16 * 1024 ** 2, 32 * 1024 ** 2],
  ]);
  await expect(host.source.inspect('broken')).rejects.toEqual(
    fault('disk-unreadable', 'permanent'),
  );
  await host.virsh('undefine', 'listed');
});

it('does not take a raw disk for what a guest wrote into it', async () => {
  const forged = join(host.poolDir, 'forged.img');
  await run('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-u',
    '-b',
    '/etc/passwd',
    '-F',
    'raw',
    forged,
    '99G',
  ]);
  await host.define('forger', { disks: fileDisk(forged) });
  const { disks } = await host.source.inspect('forger');
  expect(disks[0]!.backing).toEqual([]);
  expect(disks[0]!.capacityBytes).toBeLessThan(1024 ** 2);
});

it('names a VM that is not there', async () => {
  await expect(host.source.inspect('nobody')).rejects.toEqual(fault('vm-not-found', 'permanent'));
  const uuid = '00000000-0000-4000-8000-000000000001';
  await expect(host.source.state(uuid)).rejects.toEqual(fault('vm-not-found', 'permanent'));
  expect(await host.source.stateIfKnown(uuid)).toBeUndefined();
  await host.source.undefine(uuid);
});

it('gives the definition with its secrets, and the stored one of a running VM', async () => {
  const graphics = `<graphics type='vnc' port='-1' passwd='hush'/>`;
  const uuid = await host.define('secret', { disks: fileDisk(raw), nics: graphics });
  expect(await host.source.definition(uuid)).toContain(`passwd='hush'`);
  await host.virsh('start', 'secret', '--paused');
  const text = await host.source.definition(uuid);
  expect(text).toMatch(/^<domain type='qemu'>/);
  expect(text).toContain(`passwd='hush'`);
  await host.virsh('destroy', 'secret');
});

it('waits for a VM to go off by its event, and powers it off twice without complaint', async () => {
  const uuid = await host.define('stopper', { disks: fileDisk(raw) });
  await host.virsh('start', 'stopper');
  expect(await host.source.waitUntilOff(uuid, { timeoutMs: 300 })).toBe(false);
  const began = performance.now();
  const waiting = host.source.waitUntilOff(uuid, { timeoutMs: 20_000 });
  await host.source.forceOff(uuid);
  expect(await waiting).toBe(true);
  // Below the interval of the occasional look: the event did it.
  expect(performance.now() - began).toBeLessThan(4_500);
  await host.source.forceOff(uuid);
  await host.source.requestShutdown(uuid);
  expect(await host.source.waitUntilOff(uuid, { timeoutMs: 1 })).toBe(true);
});

it('ends a wait when it is told to', async () => {
  const uuid = await host.define('patient', { disks: fileDisk(raw) });
  await host.virsh('start', 'patient', '--paused');
  const abort = new AbortController();
  const waiting = host.source.waitUntilOff(uuid, { timeoutMs: 60_000, signal: abort.signal });
  setImmediate(() => abort.abort(new Error('no more')));
  await expect(waiting).rejects.toThrow('no more');
  await host.virsh('destroy', 'patient');
});

it.each(['raw', 'qcow2'])('sees that a %s disk is in use, whoever uses it', async (format) => {
  const path = join(host.poolDir, `busy.${format}`);
  await run('qemu-img', ['create', '-q', '-f', format, path, '8M']);
  const uuid = await host.define(`busy-${format}`, { disks: fileDisk(path, format) });
  expect(await host.source.readBackStopped(uuid)).toEqual({ stopped: true, reasons: [] });
  await host.virsh('start', `busy-${format}`, '--paused');
  const running = await host.source.readBackStopped(uuid);
  expect(running.stopped).toBe(false);
  expect(running.reasons[0]).toContain('paused');
  expect(running.reasons[1]).toMatch(
    new RegExp(`process \\d+ \\(qemu-system-x86_64\\) has .*busy\\.${format}`),
  );
  await host.virsh('destroy', `busy-${format}`);
  // Another VM, of another name, on a hard link of the same disk: libvirt says ours is off.
  const link = join(host.poolDir, `link.${format}`);
  await run('ln', [path, link]);
  await host.define('other', { disks: fileDisk(link, format) });
  await host.virsh('start', 'other', '--paused');
  const linked = await host.source.readBackStopped(uuid);
  expect(linked.stopped).toBe(false);
  expect(linked.reasons[0]).toContain('open to write');
  await host.virsh('destroy', 'other');
  await host.virsh('undefine', 'other');
  expect((await host.source.readBackStopped(uuid)).stopped).toBe(true);
});

it.each(['raw', 'qcow2'] as const)(
  'takes a %s disk that is only read for one at rest',
  async (format) => {
    const path = join(host.poolDir, `read.${format}`);
    await run('qemu-img', ['create', '-q', '-f', format, path, '8M']);
    const uuid = await host.define(`read-${format}`, { disks: fileDisk(path, format) });
    const servers = new LocalNbdServers({ host: 'alpha', stateDir: join(host.dir, 'state') });
    const reader = await servers.open({ path, format, readOnly: true, cacheNone: false });
    const before = await stat(path, { bigint: true });
    const reading = await host.source.readBackStopped(uuid);
    const after = await stat(path, { bigint: true });
    await reader.close();
    expect(reading).toEqual({ stopped: true, reasons: [] });
    // The look itself must not count as a change: a resumed copy compares these.
    expect([after.mtimeNs, after.ctimeNs]).toEqual([before.mtimeNs, before.ctimeNs]);
  },
);

it('does not take a VM with a managed save for stopped, and discards it by word', async () => {
  const uuid = await host.define('saved', { disks: fileDisk(raw) });
  await host.virsh('start', 'saved', '--paused');
  await host.virsh('managedsave', 'saved');
  expect((await host.source.inspect('saved')).hasManagedSave).toBe(true);
  expect((await host.source.readBackStopped(uuid)).reasons).toEqual([
    'libvirt keeps a managed save of its memory',
  ]);
  await expect(host.target.start(uuid)).rejects.toEqual(fault('managed-save-in-the-way', 'unsafe'));
  await host.source.removeManagedSave(uuid);
  await host.source.removeManagedSave(uuid);
  expect(await host.source.readBackStopped(uuid)).toEqual({ stopped: true, reasons: [] });
});

it('turns autostart off and on', async () => {
  const uuid = await host.define('auto');
  await host.source.setAutostart(uuid, true);
  await host.source.setAutostart(uuid, true);
  expect((await host.source.inspect('auto')).autostart).toBe(true);
  await host.source.setAutostart(uuid, false);
  expect((await host.source.inspect('auto')).autostart).toBe(false);
});

it('undefines with snapshots, checkpoints and managed save, but never under a running VM', async () => {
  const path = join(host.poolDir, 'snap.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, '8M']);
  const uuid = await host.define('snappy', { disks: fileDisk(path, 'qcow2') });
  await host.virsh('snapshot-create-as', 'snappy', 'before');
  await host.virsh('start', 'snappy', '--paused');
  await expect(host.source.undefine(uuid)).rejects.toEqual(fault('vm-still-active', 'unsafe'));
  await host.virsh('managedsave', 'snappy');
  expect((await host.source.inspect('snappy')).snapshots).toEqual(['before']);
  await host.source.undefine(uuid);
  expect(await host.source.stateIfKnown(uuid)).toBeUndefined();
  await host.source.undefine(uuid);
});

it('survives a libvirtd that is killed and started again, also while it waits', async () => {
  const uuid = await host.define('survivor', { disks: fileDisk(raw) });
  await host.virsh('start', 'survivor', '--paused');
  const waiting = host.source.waitUntilOff(uuid, { timeoutMs: 30_000 });
  await host.libvirtd.killDaemon();
  await expect(host.source.state(uuid)).rejects.toEqual(fault('libvirt-unreachable', 'transient'));
  await host.libvirtd.startDaemon();
  await expect
    .poll(() => host.source.state(uuid).catch(() => 'away'), { timeout: 15_000, interval: 100 })
    .toBe('paused');
  await host.source.forceOff(uuid);
  expect(await waiting).toBe(true);
});

it('waits for a guest that stops while libvirtd is down', async () => {
  const uuid = await host.define('orphan', { disks: fileDisk(raw) });
  await host.virsh('start', 'orphan', '--paused');
  const waiting = host.source.waitUntilOff(uuid, { timeoutMs: 30_000 });
  await host.libvirtd.killDaemon();
  const { stdout } = await host.libvirtd.exec('pgrep', '-f', 'guest=orphan');
  await host.libvirtd.exec('kill', '-9', stdout.trim());
  await host.libvirtd.startDaemon();
  expect(await waiting).toBe(true);
});
