import { readdir, stat } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { DomainDocument } from '../../../platforms/libvirt/domain-xml.ts';
import { writableFreeBytes } from '../../../platforms/libvirt/volumes.ts';
import { fileDisk, run, startTestHost, vmXml } from './host.ts';
import type { TestHost } from './host.ts';

// Refuses any VM with "released" in its name, as the guard would, and hears nothing of the others.
const hook = `#!/bin/sh
[ "$2" = prepare ] || exit 0
case "$1" in *released*) echo "vmferry: $1 is released; it runs on beta now" >&2; exit 1;; esac
`;
const mib = 1024 ** 2;
const nic = `<interface type='network'><mac address='52:54:00:12:34:56'/><source network='lab'/></interface>`;

let host: TestHost;
const fault = (code: string, handling: string): unknown =>
  expect.objectContaining({ code, handling, host: 'alpha' });
const volume = (name: string, more: object = {}) => ({
  pool: 'default',
  name,
  capacityBytes: 16 * mib,
  format: 'raw' as const,
  allocation: 'thin' as const,
  ownedByMove: false,
  ...more,
});

const fileAt = (path: string, format: 'raw' | 'qcow2') => ({ kind: 'file' as const, path, format });

beforeAll(async () => {
  host = await startTestHost({ hook });
});
afterEach(() => host.clear());
afterAll(() => host.end());

it('tells what the host has', async () => {
  const path = join(host.poolDir, 'neighbour.img');
  await run('truncate', ['-s', '1M', path]);
  const uuid = await host.define('neighbour', { disks: fileDisk(path), nics: nic });
  const before = await host.target.facts();
  expect(before).toMatchObject({ arch: 'x86_64', networks: [], bridges: [] });
  expect(before.hostUuid).toMatch(/^[0-9a-f-]{36}$/);
  expect(before.libvirtVersion).toMatch(/^\d+\.\d+\.\d+$/);
  expect(before.hypervisorVersion).toMatch(/^\d+\.\d+\.\d+$/);
  expect(before.machines).toContain('qemu/x86_64/pc');
  expect(before.machines.some((each) => /^qemu\/x86_64\/pc-i440fx-/.test(each))).toBe(true);
  expect(before.memoryBytes).toBeGreaterThan(before.freeMemoryBytes);
  expect(before.cpus).toBeGreaterThan(0);
  expect(before.vms).toEqual([
    { uuid, name: 'neighbour', running: false, macs: ['52:54:00:12:34:56'], diskPaths: [path] },
  ]);
  const [pool] = before.pools;
  expect(pool).toMatchObject({ name: 'default', type: 'dir', active: true, path: host.poolDir });
  expect(pool!.availableBytes).toBeGreaterThan(0);
});

it('sees bridges of its own network namespace only', async () => {
  // This process is not inside the private host, so nothing of that host may show here.
  await host.libvirtd.exec('ip', 'link', 'add', 'vmfbr0', 'type', 'bridge');
  const { bridges } = await host.target.facts();
  expect(bridges).not.toContain('vmfbr0');
});

it('makes a sparse volume once, and finds its own again', async () => {
  const made = await host.target.volumes.ensure(volume('new disk & co.img'));
  expect(made).toMatchObject({ path: join(host.poolDir, 'new disk & co.img'), created: true });
  const file = await stat(made.path);
  expect([file.size, file.blocks]).toEqual([16 * mib, 0]);
  const again = await host.target.volumes.ensure(
    volume('new disk & co.img', { ownedByMove: true }),
  );
  expect(again).toEqual({ ...made, created: false });
  expect(await host.target.volumes.exists('default', 'new disk & co.img')).toBe(true);
  expect(await host.target.volumes.delete(fileAt(made.path, 'raw'))).toBe('deleted');
  expect(await host.target.volumes.delete(fileAt(made.path, 'raw'))).toBe('gone');
  expect(await host.target.volumes.exists('default', 'new disk & co.img')).toBe(false);
});

it('makes a qcow2 volume of that virtual size', async () => {
  const { path } = await host.target.volumes.ensure(volume('q.qcow2', { format: 'qcow2' }));
  const { stdout } = await run('qemu-img', ['info', '--output=json', path]);
  expect(JSON.parse(stdout)).toMatchObject({ format: 'qcow2', 'virtual-size': 16 * mib });
  await host.target.volumes.delete(fileAt(path, 'qcow2'));
});

it('makes a volume that lies on another, and knows when its own came to lie elsewhere', async () => {
  const base = await host.target.volumes.ensure(volume('base.img'));
  const backing = { path: base.path, format: 'raw' };
  const asked = volume('on.qcow2', { format: 'qcow2', capacityBytes: 24 * mib, backing });
  const { path } = await host.target.volumes.ensure(asked);
  const { stdout } = await run('qemu-img', ['info', '--output=json', path]);
  expect(JSON.parse(stdout)).toMatchObject({
    'virtual-size': 24 * mib,
    'backing-filename': base.path,
    'backing-filename-format': 'raw',
  });
  const again = { ...asked, ownedByMove: true };
  expect(await host.target.volumes.ensure(again)).toMatchObject({ path, created: false });
  await run('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-b', '', path]);
  await expect(host.target.volumes.ensure(again)).rejects.toEqual(
    fault('volume-mismatch', 'unsafe'),
  );
  await host.target.volumes.delete(fileAt(path, 'qcow2'));
  await host.target.volumes.delete(fileAt(base.path, 'raw'));
});

it.each(['raw', 'qcow2'] as const)(
  'takes all the room of a full %s volume at once',
  async (format) => {
    const full = volume(`full.${format}`, { format, allocation: 'full' });
    const { path } = await host.target.volumes.ensure(full);
    expect((await stat(path)).blocks * 512).toBeGreaterThanOrEqual(16 * mib);
    expect(await host.target.volumes.ensure({ ...full, ownedByMove: true })).toMatchObject({
      path,
    });
    await host.target.volumes.delete(fileAt(path, format));
  },
);

it('refuses a volume that it did not make, also one that libvirt has not seen yet', async () => {
  await run('truncate', ['-s', '16M', join(host.poolDir, 'foreign.img')]);
  await expect(host.target.volumes.ensure(volume('foreign.img'))).rejects.toEqual(
    fault('volume-exists', 'permanent'),
  );
  expect((await stat(join(host.poolDir, 'foreign.img'))).size).toBe(16 * mib);
});

it('refuses its own volume if somebody changed it', async () => {
  const { path } = await host.target.volumes.ensure(volume('grown.img'));
  await run('truncate', ['-s', '32M', path]);
  await expect(
    host.target.volumes.ensure(volume('grown.img', { ownedByMove: true })),
  ).rejects.toEqual(fault('volume-mismatch', 'unsafe'));
});

it.each(['../escape.img', '', '.', 'a\nb', 'x'.repeat(300)])(
  'refuses the volume name %j',
  async (name) => {
    const before = await readdir(host.poolDir);
    await expect(host.target.volumes.ensure(volume(name))).rejects.toEqual(
      fault('volume-name-unusable', 'permanent'),
    );
    expect(await readdir(host.poolDir)).toEqual(before);
  },
);

it('names a pool that is not there', async () => {
  await expect(host.target.volumes.ensure(volume('x.img', { pool: 'none' }))).rejects.toEqual(
    fault('pool-missing', 'permanent'),
  );
});

it('deletes neither a disk in use nor a file that no pool has', async () => {
  const { path } = await host.target.volumes.ensure(volume('used.img'));
  await host.define('user', { disks: fileDisk(path) });
  await host.virsh('start', 'user', '--paused');
  await expect(host.target.volumes.delete(fileAt(path, 'raw'))).rejects.toEqual(
    fault('disk-in-use', 'unsafe'),
  );
  const outside = join(host.dir, 'outside.img');
  await run('truncate', ['-s', '1M', outside]);
  expect(await host.target.volumes.delete(fileAt(outside, 'raw'))).toBe('unmanaged');
  expect((await stat(outside)).size).toBe(mib);
});

it('tells the room that a disk has', async () => {
  const free = await writableFreeBytes(host.poolDir);
  expect(free).toBeGreaterThan(mib);
  expect(await writableFreeBytes(join(host.poolDir, 'not-yet.img'))).toBeGreaterThan(free / 2);
});

const mended = (name: string, more: { uuid?: string; move?: string } = {}) => {
  const { uuid = randomUUID(), move = 'move-1' } = more;
  const document = DomainDocument.parse(
    vmXml(name, { uuid, disks: fileDisk('/old/x.img'), nics: nic }),
  );
  document.mendForTarget({
    disks: [{ name: 'vda', path: join(host.poolDir, `${name}.img`), kind: 'file' }],
    note: { owner: 'alpha', epoch: 2, move },
  });
  return { uuid, xml: document.toString() };
};

it('defines once, finds its own definition again and brings a changed one up to date', async () => {
  const { uuid, xml } = mended('mover');
  expect(await host.target.ensureDefined(xml, { uuid })).toEqual({ how: 'created', complaint: '' });
  expect(await host.target.ensureDefined(xml, { uuid })).toEqual({
    how: 'unchanged',
    complaint: '',
  });
  const changed = DomainDocument.parse(xml);
  changed.setNote({ owner: 'alpha', epoch: 3, move: 'move-1' });
  expect((await host.target.ensureDefined(changed.toString(), { uuid })).how).toBe('updated');
  expect(DomainDocument.parse(await host.source.definition(uuid)).note()).toMatchObject({
    epoch: 3,
  });
  await host.target.undefine(uuid);
  await host.target.undefine(uuid);
  expect(await host.source.stateIfKnown(uuid)).toBeUndefined();
});

it('leaves the definition of another move, or of a person, alone', async () => {
  const { uuid, xml } = mended('taken');
  await host.target.ensureDefined(xml, { uuid });
  const other = mended('taken', { uuid, move: 'move-2' });
  await expect(host.target.ensureDefined(other.xml, { uuid })).rejects.toEqual(
    fault('vm-exists', 'permanent'),
  );
  const own = await host.define('by-hand');
  await expect(
    host.target.ensureDefined(mended('by-hand', { uuid: own }).xml, { uuid: own }),
  ).rejects.toEqual(fault('vm-exists', 'permanent'));
  const sameName = mended('by-hand');
  await expect(host.target.ensureDefined(sameName.xml, sameName)).rejects.toMatchObject({
    host: 'alpha',
  });
});

it('says what the schema has against a definition that libvirt takes all the same', async () => {
  const { uuid, xml } = mended('odd');
  const odd = xml.replace('<vcpu>', '<unknownElement/><vcpu>');
  const { how, complaint } = await host.target.ensureDefined(odd, { uuid });
  expect(how).toBe('created');
  expect(complaint).toMatch(/unknownElement|Extra element|Invalid element/);
});

it('refuses a definition that libvirt does not take', async () => {
  const { uuid, xml } = mended('bad');
  await expect(
    host.target.ensureDefined(xml.replace('machine="pc"', 'machine="pc-9999"'), { uuid }),
  ).rejects.toEqual(expect.objectContaining({ handling: 'permanent', host: 'alpha' }));
});

it('starts once, is fine with a VM that is up, and powers off twice', async () => {
  const { path } = await host.target.volumes.ensure(volume('runner.img'));
  const uuid = await host.define('runner', { disks: fileDisk(path) });
  await host.target.start(uuid, { paused: true });
  expect(await host.source.state(uuid)).toBe('paused');
  await host.target.start(uuid, { paused: true });
  await host.target.start(uuid);
  await Promise.all([host.target.start(uuid), host.target.start(uuid)]);
  expect(await host.source.state(uuid)).toBe('running');
  await host.target.destroy(uuid);
  await host.target.destroy(uuid);
  await host.target.destroy(randomUUID());
  expect(await host.source.state(uuid)).toBe('shut-off');
});

it('starts one VM when two ask at the same moment', async () => {
  const uuid = await host.define('twice');
  await Promise.all([host.target.start(uuid), host.target.start(uuid)]);
  expect(await host.source.state(uuid)).toBe('running');
});

it('says so where the host has no memory for a guest', async () => {
  const uuid = randomUUID();
  // More than an address space holds: also where the kernel promises whatever is asked.
  const xml = vmXml('huge', { uuid }).replace("unit='MiB'>32<", "unit='TiB'>400<");
  await host.target.ensureDefined(xml, { uuid });
  await expect(host.target.start(uuid)).rejects.toEqual(
    fault('host-lacks-memory', 'needs-operator'),
  );
  expect(await host.source.state(uuid)).toBe('shut-off');
});

it('carries the words of the hook that refused a start', async () => {
  const uuid = await host.define('released-vm');
  await expect(host.target.start(uuid)).rejects.toEqual(
    expect.objectContaining({
      code: 'start-refused-by-guard',
      handling: 'unsafe',
      host: 'alpha',
      message: expect.stringContaining('it runs on beta now') as string,
    }),
  );
  const probe = vmXml('released-probe');
  await expect(host.target.createTransientPaused(probe)).rejects.toThrow(/it runs on beta now/);
  expect(await host.virsh('list', '--name')).toBe('');
});

it('says that a VM which stays up is healthy, and at once when one does not', async () => {
  const uuid = await host.define('healthy');
  await host.target.start(uuid);
  await host.target.health(uuid, { forMs: 300 });
  const began = performance.now();
  const watching = host.target.health(uuid, { forMs: 30_000 });
  const outcome = expect(watching).rejects.toEqual(fault('vm-did-not-stay-up', 'permanent'));
  await host.virsh('destroy', 'healthy');
  await outcome;
  expect(performance.now() - began).toBeLessThan(4_500);
  await expect(host.target.health(uuid, { forMs: 100 })).rejects.toThrow(/shut-off/);
});

it('does not call a VM healthy that was paused in between', async () => {
  const uuid = await host.define('pausing');
  await host.target.start(uuid);
  const watching = host.target.health(uuid, { forMs: 3_000 });
  const outcome = expect(watching).rejects.toEqual(fault('vm-did-not-stay-up', 'permanent'));
  await host.virsh('suspend', 'pausing');
  await host.virsh('resume', 'pausing');
  await outcome;
});
