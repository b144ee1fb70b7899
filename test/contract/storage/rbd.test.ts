import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkPlace, VmDisk } from '../../../domain/vm.ts';
import { imageFacts } from '../../../platforms/libvirt/image.ts';
import { secretReader } from '../../../platforms/libvirt/secrets.ts';
import { StorageProof } from '../../../platforms/libvirt/storage-proof.ts';
import { startTestHost } from '../platforms/host.ts';
import type { TestHost } from '../platforms/host.ts';
import { CopyPath, mib } from './copy-path.ts';
import { lacking, startCeph } from './servers.ts';
import type { Ceph } from './servers.ts';

const missing = lacking('RBD', 'ceph-mon', 'ceph-osd', 'ceph', 'rbd');
const secretUuid = '5a9e3c52-7d1b-4b52-9a53-5f0a6a3b1c10';
const size = 16 * mib;
let ceph: Ceph;
let host: TestHost;
let path: CopyPath;
let proof: StorageProof;
const closing: (() => Promise<void>)[] = [];

const image = (name: string, more: Partial<NetworkPlace> = {}): VmDisk & { format: 'raw' } => ({
  name: 'vda',
  device: 'disk',
  kind: 'network',
  path: `rbd:vms/${name}`,
  network: {
    protocol: 'rbd',
    name: `vms/${name}`,
    hosts: [{ name: '127.0.0.1', port: ceph.port }],
    auth: { username: 'admin', secret: { uuid: secretUuid } },
    ...more,
  },
  format: 'raw',
  readonly: false,
  shareable: false,
  capacityBytes: size,
  allocationBytes: 0,
  backing: [],
});
const poolXml = (name: string): string =>
  `<pool type='rbd'><name>${name}</name><source><name>vms</name><host name='127.0.0.1' port='${ceph.port}'/>
  <auth type='ceph' username='admin'><secret uuid='${secretUuid}'/></auth></source></pool>`;
const volume = (name: string, more: object = {}) => ({
  pool: 'ceph',
  name,
  capacityBytes: size,
  format: 'raw' as const,
  allocation: 'thin' as const,
  ownedByMove: false,
  ...more,
});

describe.skipIf(missing !== undefined)('RBD', () => {
  beforeAll(async () => {
    host = await startTestHost({ sharesNetwork: true });
    closing.push(() => host.end());
    ceph = await startCeph();
    closing.push(() => ceph.end());
    const secret = join(host.dir, 'secret.xml');
    await writeFile(
      secret,
      `<secret ephemeral='no' private='no'><uuid>${secretUuid}</uuid><usage type='ceph'><name>client.admin</name></usage></secret>`,
    );
    await host.virsh('secret-define', secret);
    await host.virsh('secret-set-value', secretUuid, ceph.key);
    const pool = join(host.dir, 'pool.xml');
    await writeFile(pool, poolXml('ceph'));
    await host.virsh('pool-create', pool);
    path = await CopyPath.open(secretReader(host.libvirt));
    closing.push(() => path.close());
    proof = new StorageProof(host.libvirt);
  });
  afterAll(async () => {
    for (const close of closing.reverse()) await close();
  });

  it('images are made once, say where they lie, take a disk, give it back, and are deleted', async () => {
    const made = await host.target.volumes.ensure(volume('web.raw'));
    expect(made).toMatchObject({
      kind: 'network',
      path: 'rbd:vms/web.raw',
      network: image('web.raw').network,
      capacityBytes: size,
      created: true,
    });
    const again = await host.target.volumes.ensure(volume('web.raw', { ownedByMove: true }));
    expect(again).toEqual({ ...made, created: false });
    await expect(host.target.volumes.ensure(volume('web.raw'))).rejects.toMatchObject({
      code: 'volume-exists',
    });
    const { path: name, network } = made;
    const target = { path: name, format: 'raw' as const, network: network! };
    const there = await path.copy(await path.original('from', size), target, size);
    const back = await path.copy(target, { path: path.path('back'), format: 'raw' }, size);
    expect(back.root).toBe(there.root);
    const context = { host: 'alpha', readSecret: secretReader(host.libvirt) };
    expect((await imageFacts(target, context)).capacityBytes).toBe(size);
    const named = { kind: 'network' as const, ...target };
    expect(await host.target.volumes.delete(named)).toBe('deleted');
    expect(await host.target.volumes.delete(named)).toBe('gone');
    expect(await ceph.rbd('ls')).toBe('');
  });

  it('cannot be made qcow2', async () => {
    await expect(
      host.target.volumes.ensure(volume('x', { format: 'qcow2' })),
    ).rejects.toMatchObject({ code: 'format-unfit' });
  });

  it('shows a word to whoever sees the same pool, and keeps nothing of it', async () => {
    await ceph.rbd('create', 'shared', '--size', '16M');
    const disk = image('shared');
    const [nonce] = await proof.write('move-1', [disk]);
    expect(await proof.write('move-1', [disk, { ...disk, name: 'vdb' }])).toHaveLength(2);
    expect(await proof.find(nonce!, disk, '')).toMatchObject({ path: 'rbd:vms/shared' });
    expect(await proof.find(nonce!, image('other'), '')).toBeUndefined();
    const forged = { ...nonce!, value: 'f'.repeat(64) };
    expect(await proof.find(forged, disk, '')).toBeUndefined();
    const words = (await ceph.rbd('ls')).split('\n').filter((name) => name.startsWith('vmferry'));
    expect(words).toHaveLength(1);
    await proof.remove('move', [disk]);
    expect(await proof.find(nonce!, disk, '')).toBeDefined();
    await proof.remove('move-1', [disk]);
    expect(await ceph.rbd('ls')).toBe('shared');
    expect(await host.virsh('pool-list', '--all', '--name')).not.toContain('vmferry');
  });

  it('ends the pool of a look that a killed worker left, and nothing that lives or was defined', async () => {
    const free = 2 ** 22 + 1; // beyond the largest PID that Linux gives
    const digits = (pid: number): string => `${pid.toString(16).padStart(8, '0')}0a1b2c3d`;
    const names = {
      dead: `vmferry-look-${digits(free)}`,
      alive: `vmferry-look-${digits(process.ppid)}`,
      alike: 'vmferry-look-of-mine',
    };
    for (const name of Object.values(names)) {
      const xml = join(host.dir, `${name}.xml`);
      await writeFile(xml, poolXml(name));
      await host.virsh('pool-create', xml);
    }
    expect(await proof.endOrphans()).toBe(1);
    const left = await host.virsh('pool-list', '--all', '--name');
    expect(left).not.toContain(names.dead);
    for (const name of [names.alive, names.alike]) {
      expect(left).toContain(name);
      await host.virsh('pool-destroy', name);
    }
    const defined = join(host.dir, `${names.dead}.xml`);
    await host.virsh('pool-define', defined);
    await host.virsh('pool-start', names.dead);
    expect(await proof.endOrphans()).toBe(0);
    await host.virsh('pool-destroy', names.dead);
    await host.virsh('pool-undefine', names.dead);
  });

  it('is not seen by a host that cannot log in', async () => {
    const secret = { uuid: '00000000-7d1b-4b52-9a53-5f0a6a3b1c10' };
    const disk = image('shared', { auth: { username: 'admin', secret } });
    expect(await proof.write('move-2', [disk])).toEqual([]);
    const readSecret = secretReader(host.libvirt);
    await expect(imageFacts(disk, { host: 'alpha', readSecret })).rejects.toMatchObject({
      code: 'secret-unreadable',
      handling: 'needs-operator',
    });
  });
});
