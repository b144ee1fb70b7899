/** Pools of a lab's host whose bytes lie on storage servers that listen on that host's own loopback. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabHost } from '../../../lab/host.ts';
import { startCeph, startIscsi, until } from '../../contract/storage/servers.ts';
import type { Ceph } from '../../contract/storage/servers.ts';
import { must, withXml } from '../refusals/tiny-vm.ts';

export interface NetworkPool {
  name: string;
  end(): Promise<void>;
}

const brief = { timeoutMs: 30_000 };
const lunBytes = 128 * 1024 ** 2;
const secretUuid = '5a9e3c52-7d1b-4b52-9a53-5f0a6a3b1c10';

/** The network of the host, and the machine's files. */
const besides = ({ netns }: LabHost): readonly string[] => [
  'nsenter',
  `--net=/run/netns/${netns}`,
  '--',
];

const startPool = (host: LabHost, xml: string): Promise<string> =>
  withXml(host, xml, (file) => must(host, 'pool-create', file));

/** RBD images; libvirt logs in with a secret of the host. */
export async function rbdPool(host: LabHost): Promise<NetworkPool & { ceph: Ceph }> {
  const ceph = await startCeph(besides(host));
  const secret = `<secret ephemeral='no' private='no'><uuid>${secretUuid}</uuid>
    <usage type='ceph'><name>client.admin</name></usage></secret>`;
  await withXml(host, secret, (file) => must(host, 'secret-define', file));
  await must(host, 'secret-set-value', secretUuid, ceph.key);
  const monitor = `<host name='127.0.0.1' port='${ceph.port}'/>`;
  await startPool(
    host,
    `<pool type='rbd'><name>ceph</name><source><name>${ceph.pool}</name>${monitor}
      <auth type='ceph' username='admin'><secret uuid='${secretUuid}'/></auth></source></pool>`,
  );
  return {
    name: 'ceph',
    ceph,
    end: async () => {
      await must(host, 'pool-destroy', 'ceph');
      await ceph.end();
    },
  };
}

/**
 * A file system on an iSCSI LUN, as libvirt mounts it. The kernel here has no initiator: QEMU's is in its place, which
 * shows the LUN as a file, and a loop device makes a block device of that.
 */
export async function iscsiPool(host: LabHost, dir: string): Promise<NetworkPool> {
  await mkdir(dir, { recursive: true });
  const iscsi = await startIscsi(besides(host));
  const lun = join(dir, 'lun');
  await host.exec(['truncate', '-s', String(lunBytes), lun], brief);
  await iscsi.lun(1, lun);
  const shown = '/run/lun';
  await writeFile(host.rootOf(shown), '');
  await writeFile(host.rootOf('/run/chap'), iscsi.login.password);
  const { port, iqn, login } = iscsi;
  const disk = [
    `driver=iscsi,node-name=lun,transport=tcp,portal=127.0.0.1:${port},target=${iqn},lun=1`,
    `user=${login.username},password-secret=chap`,
  ];
  const initiator = host.spawn(
    [
      ...['qemu-storage-daemon', '--object', 'secret,id=chap,file=/run/chap'],
      ...['--blockdev', disk.join(',')],
      ...['--export', `type=fuse,id=lun,node-name=lun,mountpoint=${shown},writable=on`],
    ],
    { stdio: 'ignore' },
  );
  await isMounted(host, shown);
  const { stdout } = await host.exec(['losetup', '--find', '--show', shown], brief);
  const device = stdout.trim();
  await host.exec(['mkfs.ext4', '-q', '-F', device], brief);
  const folder = '/run/lun-pool';
  await mkdir(host.rootOf(folder));
  await startPool(
    host,
    `<pool type='fs'><name>lun</name><source><device path='${device}'/><format type='ext4'/></source>
      <target><path>${folder}</path></target></pool>`,
  );
  return {
    name: 'lun',
    end: async () => {
      await must(host, 'pool-destroy', 'lun');
      await host.exec(['losetup', '-d', device], brief);
      initiator.kill('SIGTERM');
      await iscsi.end();
    },
  };
}

/**
 * A pool of NFS, as libvirt has it: files of a server, in a folder where they are mounted. The kernel here has no client:
 * one by libnfs is in its place, and libvirt finds the mount made.
 */
export async function nfsPool(host: LabHost): Promise<NetworkPool & { exported: string }> {
  const dir = await mkdtemp('/var/tmp/vmferry-lab-nfs-');
  const exported = join(dir, 'export');
  await mkdir(exported);
  const server = host.spawn(
    [
      ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
      ...['bash', join(import.meta.dirname, '../../contract/storage/nfs-host.sh'), dir, exported],
      ...['sh', '-c', `touch ${dir}/serves; exec sleep infinity`],
    ],
    { stdio: 'ignore' },
  );
  await until(`NFS on ${host.name} serves`, () => Promise.resolve(existsSync(join(dir, 'serves'))));
  const folder = '/run/nfs-pool';
  await mkdir(host.rootOf(folder));
  const mount = join(import.meta.dirname, 'nfs-mount-process.ts');
  host.spawn([process.execPath, mount, '127.0.0.1', exported, folder], { stdio: 'inherit' });
  await isMounted(host, folder);
  await startPool(
    host,
    `<pool type='netfs'><name>nfs</name><source><host name='127.0.0.1'/><dir path='${exported}'/>
      <format type='nfs'/></source><target><path>${folder}</path></target></pool>`,
  );
  return {
    name: 'nfs',
    exported,
    end: async () => {
      await must(host, 'pool-destroy', 'nfs');
      server.kill('SIGKILL');
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const isMounted = (host: LabHost, path: string): Promise<void> =>
  until(`${path} of ${host.name} is a mount`, async () => {
    const { stdout } = await host.exec(['cat', '/proc/self/mounts'], brief);
    return stdout.includes(` ${path} `);
  });
