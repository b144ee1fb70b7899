/** Imports onto storage that the target reaches over a network: Ceph, iSCSI, NFS. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import type { ImportRequest } from '../../../domain/import.ts';
import { updateNames } from '../../../workflows/contract.ts';
import { lacking } from '../../contract/storage/servers.ts';
import { hashOf, imageHash, importEnded, labRequest, untilImport } from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';
import { iscsiPool, nfsPool, rbdPool } from './network-pools.ts';
import type { NetworkPool } from './network-pools.ts';
import { openShelfStage } from './shelf-stage.ts';
import { MiB, putOnShelf, randomDisk } from './shelf.ts';

const sizeBytes = 32 * MiB;
const noCeph = lacking('an import onto RBD', 'ceph-mon', 'ceph-osd', 'ceph', 'rbd');
const noIscsi = lacking('an import onto iSCSI', 'tgtd', 'tgtadm', 'qemu-storage-daemon');
const noNfs = lacking('an import onto NFS', 'ganesha.nfsd', 'rpcbind');

let stage: ImportStage;
let rawHash: string;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  stage = await openShelfStage('import-storage', {
    fill: async ({ dir, shelf }) => {
      const raw = await randomDisk(join(dir, 'web.raw'), { sizeBytes, dataBytes: 12 * MiB });
      await putOnShelf(shelf, { name: 'web', raw, sizeBytes });
      rawHash = await hashOf(raw);
    },
  });
  closing.push(() => stage.close());
}, 240_000);
afterAll(async () => {
  for (const close of closing.reverse()) await close();
}, 60_000);

const showLogs = (): void => onTestFailed(async () => console.error(await stage.logs()));

const into = (
  { name: pool }: NetworkPool,
  format: ImportRequest['storage']['format'],
  changes: Partial<ImportRequest>,
): ImportRequest =>
  labRequest({ provider: 'shelf', vm: 'web.ova#web', storage: { pool, format }, ...changes });

describe('an import onto storage of the network', () => {
  it.skipIf(noCeph !== undefined)(
    'goes on after kill -9 in the transfer onto RBD, runs there, and has the bytes of its source',
    async () => {
      showLogs();
      const pool = await rbdPool(stage.lab.host('beta'));
      closing.push(() => pool.end());
      const request = into(pool, 'raw', { autoStart: true, shape: { name: 'rbd' } });
      const handle = await stage.start({ ...request, bandwidthBytesPerSecond: 4 * MiB }, 'web');
      await untilImport(handle, async ({ phase }) => {
        if (phase !== 'transferring') return false;
        const { raw } = await handle.describe();
        return raw.pendingActivities?.some((one) => one.heartbeatDetails) ?? false;
      });
      await stage.fleet.worker('beta').kill9();
      const report = await importEnded(handle);
      expect(report).toMatchObject({ phase: 'committed', targetRunning: true });
      expect(report.disks).toMatchObject([{ verified: true, bytesRecopied: 0 }]);
      expect(await stage.virsh('beta', 'domstate', 'rbd')).toBe('running');
      await stage.virsh('beta', 'destroy', 'rbd');
      const out = join(stage.dir, 'rbd.raw');
      await pool.ceph.rbd('export', '--no-progress', 'rbd-0.raw', out);
      expect(await hashOf(out)).toBe(rawHash);
      await stage.virsh('beta', 'undefine', 'rbd');
    },
  );

  it.skipIf(noIscsi !== undefined)(
    'onto a LUN of iSCSI leaves nothing when it is rolled back, and comes from the cache again',
    async () => {
      showLogs();
      const pool = await iscsiPool(stage.lab.host('beta'), join(stage.dir, 'iscsi'));
      closing.push(() => pool.end());
      const request = into(pool, 'qcow2', { autoCommit: false, shape: { name: 'lun' } });
      const first = await stage.start(request, 'web');
      await untilImport(first, ({ phase }) => phase === 'awaiting-commit');
      const order = { operator: 'test', discardTargetWrites: false };
      await first.executeUpdate(updateNames.rollback, { args: [order] });
      expect((await importEnded(first)).phase).toBe('rolled-back');
      expect(await stage.virsh('beta', 'vol-list', 'lun')).not.toContain('lun-0');
      expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('lun');
      const second = await stage.start({ ...request, autoCommit: true }, 'web');
      const report = await importEnded(second);
      expect(report).toMatchObject({ phase: 'committed', disks: [{ bytesCopied: 0 }] });
      const path = await stage.virsh('beta', 'vol-path', 'lun-0.qcow2', 'lun');
      expect(await imageHash(stage, 'beta', path)).toBe(rawHash);
      await stage.virsh('beta', 'undefine', 'lun');
    },
  );

  it.skipIf(noNfs !== undefined)(
    'onto NFS is started there, and its files lie on the server',
    async () => {
      showLogs();
      const pool = await nfsPool(stage.lab.host('beta'));
      closing.push(() => pool.end());
      const request = into(pool, 'qcow2', { autoStart: true, shape: { name: 'nfs' } });
      const report = await importEnded(await stage.start(request, 'web'));
      expect(report).toMatchObject({ phase: 'committed', targetRunning: true });
      expect(report.disks).toMatchObject([{ verified: true }]);
      await stage.virsh('beta', 'destroy', 'nfs');
      // Past the mount: from the folder that the server exports.
      expect(await imageHash(stage, 'beta', join(pool.exported, 'nfs-0.qcow2'))).toBe(rawHash);
      await stage.virsh('beta', 'undefine', 'nfs');
    },
  );
});
