/** Rows whose disks both hosts see: nothing is copied, and nothing of them is deleted. */
import { stat, rm } from 'node:fs/promises';
import { expect } from 'vitest';
import { insidePaths } from '../../../lab/host-files.ts';
import type { LabHost } from '../../../lab/host.ts';
import { must, virsh } from '../refusals/tiny-vm.ts';
import { ended } from '../stage.ts';
import { contentOf, fillRaw, hashOf, makeImage, mebibyte, soon } from './images.ts';
import { ledgerOf, move, playRollback } from './scene.ts';
import type { DiskRow, Journey, Run, Scene } from './scene.ts';
import { defineVm, diskXml } from './vm.ts';

const inShared = (name: string): string => `${insidePaths.sharedPoolPath}/${name}`;
const shared = (path: string, format: 'raw' | 'qcow2' = 'raw') => ({
  name: 'vda',
  how: 'shared' as const,
  path,
  format,
});

const inodeOf = async (host: LabHost, path: string): Promise<number> =>
  (await stat(host.rootOf(path))).ino;

/** A VM on a qcow2 image of the shared pool, with a snapshot in the image and another after it. */
async function withSnapshots({ alpha }: Scene, name: string): Promise<Journey> {
  const path = inShared(`${name}.qcow2`);
  await makeImage(alpha, path, { format: 'qcow2', sizeMiB: 8 });
  const vm = await defineVm(alpha, {
    name,
    devices: diskXml({ dev: 'vda', path, format: 'qcow2' }),
  });
  await must(alpha, 'snapshot-create-as', name, 'clean', 'as it came');
  await alpha.exec(['qemu-io', '-f', 'qcow2', '-c', 'write -q -P 7 0 1M', path], soon);
  await must(alpha, 'snapshot-create-as', name, 'later');
  return { vm, ways: [shared(path, 'qcow2')], concerns: ['snapshots-move'] };
}

const listed = (host: LabHost, name: string): Promise<string> =>
  must(host, 'snapshot-list', name, '--tree');

const folder: DiskRow = {
  name: 'an image in a shared folder: only the definition moves, with what libvirt notes of its snapshots',
  async prepare(scene) {
    const { alpha, beta } = scene;
    const journey = await withSnapshots(scene, 'folder');
    const path = inShared('folder.qcow2');
    const [inode, tree] = [await inodeOf(alpha, path), await listed(alpha, 'folder')];
    return {
      ...journey,
      request: { storage: 'shared' },
      after: async (report) => {
        expect(report).toMatchObject({
          mode: 'shared',
          disks: [{ shared: 'nonce', bytesCopied: 0 }],
        });
        expect(await inodeOf(beta, path)).toBe(inode);
        expect(await listed(beta, 'folder')).toBe(tree);
        expect(await must(beta, 'snapshot-current', 'folder', '--name')).toBe('later');
        // The note and the image still belong together.
        const now = await contentOf(beta, path, 'qcow2');
        await must(beta, 'snapshot-revert', 'folder', 'clean');
        expect(await contentOf(beta, path, 'qcow2')).not.toBe(now);
      },
    };
  },
};

const folderBack: DiskRow = {
  name: 'an image in a shared folder that is rolled back: the snapshots are known where they were',
  async prepare(scene) {
    const { alpha, beta } = scene;
    const journey = await withSnapshots(scene, 'folderback');
    const tree = await listed(alpha, 'folderback');
    await must(alpha, 'autostart', 'folderback');
    return {
      ...journey,
      play: (run) =>
        playRollback(run, async () => {
          expect(await listed(beta, 'folderback')).toBe(tree);
          expect((await virsh(alpha, 'start', 'folderback')).words).toMatch(/may not start/);
        }),
      after: async () => {
        expect(await listed(alpha, 'folderback')).toBe(tree);
        expect(await must(alpha, 'dominfo', 'folderback')).toMatch(/Autostart: +enable/);
      },
    };
  },
};

const mixed: DiskRow = {
  name: 'one image in a shared folder, whose lower image is not shared: copied, for the target would not find it',
  async prepare({ alpha, beta }) {
    const path = inShared('mixed.qcow2');
    const base = `${alpha.poolPath}/mixed-base.qcow2`;
    for (const host of [alpha, beta]) await makeImage(host, base, { format: 'qcow2', sizeMiB: 8 });
    await makeImage(alpha, path, { format: 'qcow2', sizeMiB: 8, backing: base });
    const target = `${beta.poolPath}/mixed.qcow2`;
    const devices = diskXml({ dev: 'vda', path, format: 'qcow2' });
    return {
      vm: await defineVm(alpha, { name: 'mixed', devices }),
      request: { targetPool: 'default' },
      ways: [{ name: 'vda', how: 'copy', path: target, format: 'qcow2' }],
      concerns: ['chain-flattened'],
      stays: [base],
    };
  },
};

async function onDevice({ stage, alpha }: Scene, name: string): Promise<Journey> {
  const { path } = await stage.lab.addSharedBlock({ name, sizeBytes: 8 * mebibyte });
  await fillRaw(alpha, path, 8);
  const disk = { dev: 'vda', path, format: 'raw', kind: 'block' } as const;
  const devices = diskXml({ ...disk, driver: `cache='none'` });
  return {
    vm: await defineVm(alpha, { name, devices }),
    request: { sharedDisks: ['vda'] },
    ways: [shared(path)],
    concerns: ['shared-by-word'],
  };
}

const device: DiskRow = {
  name: 'a shared block device by word: both hosts read all of it and find the same',
  async prepare(scene) {
    const journey = await onDevice(scene, 'cable');
    const was = await hashOf(scene.alpha, '/dev/vmferry/cable');
    return {
      ...journey,
      after: async (report) => {
        expect(report).toMatchObject({ mode: 'shared', disks: [{ shared: 'content' }] });
        expect(await hashOf(scene.beta, '/dev/vmferry/cable')).toBe(was);
      },
    };
  },
};

/** Leads the path on one host to another device, as a wrong mapping of a LUN does. */
async function swapDevice({ stage, beta }: Scene, path: string): Promise<void> {
  const other = await stage.lab.addSharedBlock({ name: 'stranger', sizeBytes: 8 * mebibyte });
  const { rdev } = await stat(beta.rootOf(other.path));
  await rm(beta.rootOf(path));
  await beta.exec(['mknod', path, 'b', String(rdev >> 8), String(rdev & 0xff)], soon);
}

const wrongDevice: DiskRow = {
  name: 'a device that is another one there: found out once the VM is down, and it runs again here',
  async prepare(scene) {
    const journey = await onDevice(scene, 'miswired');
    await swapDevice(scene, '/dev/vmferry/miswired');
    await must(scene.alpha, 'start', 'miswired');
    return { ...journey, play: refusedByContent };
  },
};

async function refusedByContent(run: Run): Promise<void> {
  const { alpha, beta, journey } = run;
  const { name } = journey.vm;
  const report = await ended(await move(run, {}));
  expect(report).toMatchObject({
    vmOn: 'alpha',
    vmRunning: true,
    failedCompensations: [],
    firstError: { code: 'storage-not-the-same', handling: 'unsafe' },
  });
  expect(await must(alpha, 'domstate', name)).toBe('running');
  expect((await virsh(beta, 'dominfo', name)).ok).toBe(false);
  expect((await ledgerOf(alpha).read(journey.vm.uuid))?.state).toBe('owner');
  await must(alpha, 'destroy', name);
  await must(alpha, 'start', '--paused', name);
  await must(alpha, 'destroy', name);
  // Whoever has that device on the target goes on using it: the guard there does not take it for this VM's.
  expect(await ledgerOf(beta).read(journey.vm.uuid)).toBeUndefined();
  const disk = { dev: 'vda', path: '/dev/vmferry/stranger', format: 'raw', kind: 'block' } as const;
  await defineVm(beta, { name: 'neighbour', devices: diskXml(disk) });
  await must(beta, 'start', '--paused', 'neighbour');
  await must(beta, 'destroy', 'neighbour');
  await must(beta, 'undefine', 'neighbour');
}

export const sharedRows: DiskRow[] = [folder, folderBack, mixed, device, wrongDevice];
