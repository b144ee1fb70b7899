import { randomUUID } from 'node:crypto';
import { chmod, link, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OwnerState } from '../../../domain/ownership.ts';
import { diskIdentity } from '../../../guard/identity.ts';
import { hookStatus, installHook, reloadLibvirtd } from '../../../guard/install.ts';
import { GuardedHost, fileDisk, guestXml } from './guarded-host.ts';

let host: GuardedHost;
beforeAll(async () => {
  host = await GuardedHost.start();
});
afterAll(async () => host.stop());

interface Guest {
  name: string;
  uuid: string;
  path: string;
}

/** A defined guest that this host owns. */
const owned = async (name: string, extension = 'raw'): Promise<Guest> => {
  const guest = { name, uuid: randomUUID(), path: await host.disk(`${name}.${extension}`) };
  await host.define(name, guest.uuid, guest.path);
  await set(guest, 'owner');
  return guest;
};
const set = async ({ name, uuid, path }: Guest, state: OwnerState) => {
  const disks = [{ path, identity: await diskIdentity(path) }];
  const move = { migrationId: 'move-1', note: 'moved to beta' };
  await host.ledger.transition(uuid, { to: state, epoch: 1, name, ...move, disks });
};
const expectRefused = (said: { ok: boolean; words: string }, guest: Guest) => {
  expect(said.ok, said.words).toBe(false);
  expect(said.words).toMatch(/vmferry: VM .* may not start on this host/);
  expect(said.words).toContain(guest.uuid);
};

describe('a hook that is new to libvirtd', () => {
  it('is live once libvirtd was told of it, and the probe shows each step', async () => {
    const place = { hooksDir: host.hooksDir, stateDir: host.stateDir };
    expect(await host.probe()).toMatchObject({ live: false });
    expect(await installHook(place)).toBe('installed');
    expect(await host.probe()).toMatchObject({ live: false });
    const pidFile = await host.file('libvirtd.pid', `${await host.daemonPid()}\n`);
    await reloadLibvirtd({ pidFile });
    await expect.poll(() => host.probe(), { timeout: 10_000 }).toMatchObject({ live: true });
    expect(await host.must('list', '--all', '--name')).toBe('');
    expect(await host.ledger.list()).toEqual({ entries: [], corrupt: [] });
  });
});

describe('a VM that was moved away does not start here', () => {
  it('by virsh start; while this host owned it, it did, and the start was counted', async () => {
    const guest = await owned('start');
    await host.must('start', 'start');
    expect(await host.ledger.runCount(guest.uuid)).toBe(1);
    await host.must('destroy', 'start');
    await set(guest, 'released');
    const said = await host.virsh('start', 'start');
    expectRefused(said, guest);
    expect(said.words).toContain('moved to beta');
    expect(await host.state('start')).toBe('shut off');
    expect(await host.ledger.runCount(guest.uuid)).toBe(1);
  });

  it('by virsh create, nor in the midst of a move either way', async () => {
    const guest = await owned('create');
    await host.must('undefine', 'create');
    for (const state of ['migrating-out', 'incoming', 'quarantined'] as const) {
      await set(guest, state === 'incoming' ? 'released' : state);
      await set(guest, state);
      expectRefused(await host.virsh('create', join(host.dir, 'create.xml')), guest);
    }
  });

  it('by another definition: its disk as it is, by a link, or as a volume of a pool', async () => {
    const guest = await owned('again');
    await set(guest, 'released');
    await symlink(guest.path, join(host.dir, 'soft.raw'));
    await link(guest.path, join(host.dir, 'hard.raw'));
    await host.must('pool-create-as', 'images', 'dir', '--target', join(host.dir, 'disks'));
    const volume = fileDisk('')
      .replace("type='file'", "type='volume'")
      .replace("file=''", "pool='images' volume='again.raw'");
    const ways = [
      fileDisk(guest.path),
      fileDisk(join(host.dir, 'soft.raw')),
      fileDisk(join(host.dir, 'hard.raw')),
      volume,
    ];
    for (const disk of ways) {
      const copy = await host.file('copy.xml', guestXml('copy', randomUUID(), disk));
      await host.must('define', copy);
      expectRefused(await host.virsh('start', 'copy'), guest);
      await host.must('undefine', 'copy');
    }
  });

  it('from a managed save, which stays as it is', async () => {
    const guest = await owned('saved');
    await host.must('start', 'saved');
    await host.must('managedsave', 'saved');
    await set(guest, 'released');
    expectRefused(await host.virsh('start', 'saved'), guest);
    expect(await host.must('dominfo', 'saved')).toMatch(/Managed save:\s+yes/);
  });

  it('from a save file', async () => {
    const guest = await owned('file');
    await host.must('start', 'file');
    await host.must('save', 'file', join(host.dir, 'saved'));
    await set(guest, 'released');
    expectRefused(await host.virsh('restore', join(host.dir, 'saved')), guest);
    expect(await host.state('file')).toBe('shut off');
  });

  it('by going back to a snapshot of when it ran', async () => {
    const guest = await owned('reverted', 'qcow2');
    await host.must('start', 'reverted');
    await host.must('snapshot-create-as', 'reverted', 'before');
    await host.must('destroy', 'reverted');
    await set(guest, 'released');
    expectRefused(await host.virsh('snapshot-revert', 'reverted', 'before'), guest);
    expect(await host.state('reverted')).toBe('shut off');
  });

  it("by itself when libvirtd comes up, while the host's own VM does", async () => {
    const [gone, mine] = [await owned('gone'), await owned('mine')];
    await set(gone, 'released');
    for (const { name } of [gone, mine]) await host.must('autostart', name);
    await host.daemon.killDaemon();
    // libvirt starts guests by itself once a boot; this mark is how it knows.
    await host.daemon.exec('rm', '/run/libvirt/qemu/autostarted');
    await host.daemon.startDaemon();
    await expect.poll(() => host.state('mine'), { timeout: 20_000 }).toBe('running');
    await expect
      .poll(() => host.log(), { timeout: 20_000 })
      .toMatch(/autostart.*'?gone'?.*vmferry: VM/);
    expect(await host.state('gone')).toBe('shut off');
    await host.must('destroy', 'mine');
  });
});

describe('the hook harms nobody else', () => {
  it('a guest that runs goes on when libvirtd restarts, even one the ledger forbids to start', async () => {
    const guest = await owned('running');
    await host.must('start', 'running');
    const id = await host.must('domid', 'running');
    await set(guest, 'released');
    await host.daemon.killDaemon();
    await host.daemon.startDaemon();
    // Both need QEMU's monitor, so libvirtd has taken the guest up again, hook and all, once they are done.
    await host.must('suspend', 'running');
    await host.must('resume', 'running');
    expect(await host.state('running')).toBe('running');
    expect(await host.must('domid', 'running')).toBe(id);
    await host.must('destroy', 'running');
  });

  it('a VM that vmferry never saw starts, saves and restores', async () => {
    const path = await host.disk('foreign.raw');
    await host.define('foreign', randomUUID(), path);
    await host.must('start', 'foreign');
    await host.must('managedsave', 'foreign');
    await host.must('start', 'foreign');
    await host.must('destroy', 'foreign');
  });

  it('a start that hangs in its storage is refused in time, and libvirtd answers again', async () => {
    const file = join(host.hooksDir, 'qemu.d/50-vmferry');
    const bin = join(host.dir, 'bin');
    await host.daemon.exec('mkdir', bin);
    await host.file('bin/stat', '#!/bin/sh\ntrap "" TERM\nsetsid sleep 30 &\nsleep 30\n');
    await chmod(join(bin, 'stat'), 0o755);
    const whole = await readFile(file, 'utf8');
    const guest = await owned('hangs');
    try {
      await writeFile(file, whole.replace(/^PATH=/m, `PATH=${bin}:`));
      const began = performance.now();
      const said = await host.virsh('start', 'hangs');
      expect(said.ok).toBe(false);
      expect(said.words).toContain('did not answer in 3 s');
      await host.must('list', '--all');
      expect(performance.now() - began).toBeLessThan(10_000);
      expect(await host.ledger.runCount(guest.uuid)).toBe(0);
    } finally {
      await writeFile(file, whole);
    }
  });
});

describe('a hook that is gone', () => {
  it('is seen by the probe: not executable, or removed', async () => {
    const place = { hooksDir: host.hooksDir, stateDir: host.stateDir };
    const file = join(host.hooksDir, 'qemu.d/50-vmferry');
    expect(await host.probe()).toMatchObject({ live: true });
    await chmod(file, 0o644);
    expect(await hookStatus(place)).toMatchObject({ state: 'outdated' });
    expect(await host.probe()).toMatchObject({ live: false });
    await rm(file);
    expect(await host.probe()).toMatchObject({ live: false });
    await installHook(place);
    expect(await host.probe()).toMatchObject({ live: true });
  });
});
