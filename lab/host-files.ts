/** The files that make a host of the lab: written outside, seen inside through mounts (boot-host.sh). */
import { createHash } from 'node:crypto';
import { mkdir, open, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { layOutPki } from './pki.ts';

/** Where things are, as seen inside every host. */
export const insidePaths = {
  stateDir: '/var/lib/vmferry',
  poolPath: '/var/lib/libvirt/images',
  fastPoolPath: '/var/lib/libvirt/fast',
  /** Pool `shared`: one folder for all hosts, where the lab has one. */
  sharedPoolPath: '/var/lib/libvirt/shared',
  /** Shared block devices, each by its name. */
  blockDir: '/dev/vmferry',
  hooksDir: '/etc/libvirt/hooks',
  configDir: '/etc/vmferry',
  consoleDir: '/var/log/libvirt/qemu',
  guestDir: '/usr/share/vmferry-guest',
  /** An emulator that tells the lab's witness when it starts and that it is alone. */
  witnessedEmulator: '/usr/share/vmferry-lab/qemu-system-x86_64',
  startDaemon: '/usr/share/vmferry-lab/start-daemon.pl',
  libvirtSocket: '/run/libvirt/libvirt-sock',
  libvirtdPidFile: '/run/libvirtd.pid',
  libvirtdLog: '/var/log/libvirt/libvirtd.log',
  pki: {
    /** libvirt's: the CA, and one pair for both roles. */
    caCert: '/etc/pki/CA/cacert.pem',
    cert: '/etc/pki/libvirt/clientcert.pem',
    key: '/etc/pki/libvirt/private/clientkey.pem',
    /** QEMU's and the NBD tools': a folder with ca-cert, server-cert, server-key, client-cert, client-key. */
    qemuDir: '/etc/pki/qemu',
  },
} as const;

export interface HostFilesOptions {
  /** The host's folder in the lab folder. */
  folder: string;
  name: string;
  address: string;
  uuid: string;
  pkiDir: string;
  poolBytes: number;
  /** Size of the state folder's own file system; 0: it lies on the machine's. */
  stateBytes: number;
  /** Whether the host has the pool that all hosts see. */
  shared: boolean;
  /** All hosts, for /etc/hosts. */
  neighbours: readonly { name: string; address: string }[];
}

/** A UUID that depends on the words alone, so that a host keeps its own from one lab to the next. */
export function stableUuid(words: string): string {
  const hex = createHash('sha256').update(`vmferry lab ${words}`).digest('hex');
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const libvirtdConf = (options: HostFilesOptions): string => `host_uuid = "${options.uuid}"
listen_tls = 1
listen_tcp = 0
listen_addr = "${options.address}"
auth_tls = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
max_workers = 20
log_filters = "2:daemon"
log_outputs = "2:file:${insidePaths.libvirtdLog}"
`;

// The guests run as root and unconfined: what confines them here is the lab.
const qemuConf = (options: HostFilesOptions): string => `user = "root"
group = "root"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
migration_host = "${options.address}"
migration_address = "${options.address}"
default_tls_x509_cert_dir = "${insidePaths.pki.qemuDir}"
default_tls_x509_verify = 1
migrate_tls_x509_verify = 1
backup_tls_x509_verify = 1
`;

const poolXml = (host: string, name: string, path: string): string => `<pool type='dir'>
  <name>${name}</name>
  <uuid>${stableUuid(`${host} pool ${name}`)}</uuid>
  <target><path>${path}</path></target>
</pool>
`;

const networkXml = (host: string): string => `<network>
  <name>default</name>
  <uuid>${stableUuid(`${host} network default`)}</uuid>
  <forward mode='bridge'/>
  <bridge name='br0'/>
</network>
`;

/** Definitions are laid out as libvirt keeps them, with its autostart links, which saves a round of virsh calls. */
async function writeLibvirtObjects(
  etcLibvirt: string,
  host: string,
  shared: boolean,
): Promise<void> {
  const pools = [
    { name: 'default', path: insidePaths.poolPath },
    { name: 'fast', path: insidePaths.fastPoolPath },
    ...(shared ? [{ name: 'shared', path: insidePaths.sharedPoolPath }] : []),
  ];
  const objects = [
    ...pools.map(({ name, path }) => ({ folder: 'storage', name, xml: poolXml(host, name, path) })),
    { folder: 'qemu/networks', name: 'default', xml: networkXml(host) },
  ];
  for (const { folder, name, xml } of objects) {
    const autostart = join(etcLibvirt, folder, 'autostart');
    await mkdir(autostart, { recursive: true });
    await writeFile(join(etcLibvirt, folder, `${name}.xml`), xml);
    await symlink(`/etc/libvirt/${folder}/${name}.xml`, join(autostart, `${name}.xml`));
  }
}

/** A sparse file with an ext4 file system: small enough to be filled, real enough to say so. */
async function makeImage(file: string, sizeBytes: number): Promise<void> {
  const image = await open(file, 'w');
  try {
    await image.truncate(sizeBytes);
  } finally {
    await image.close();
  }
  const features = ['-q', '-F', '-m', '0', '-J', 'size=8', '-E', 'lazy_itable_init=1,nodiscard'];
  await execa('mkfs.ext4', [...features, file], { timeout: 30_000 });
}

/** Detaches loop devices on a file of the lab. */
export async function detachImage(file: string): Promise<void> {
  const list = ['--associated', file, '--noheadings', '--output', 'NAME'];
  const found = await execa('losetup', list, { timeout: 10_000, reject: false });
  for (const device of found.stdout.split('\n').filter((line) => line.startsWith('/dev/loop'))) {
    await execa('losetup', ['--detach', device.trim()], { timeout: 10_000 });
  }
}

/** Detaches loop devices on a host's storage; only a host that died while it was mounting leaves one. */
export async function detachStorage(folder: string): Promise<void> {
  await detachImage(join(folder, 'pool.img'));
  await detachImage(join(folder, 'state.img'));
}

/** Writes a fresh host's folder; whatever lay there before goes. */
export async function writeHostFiles(options: HostFilesOptions): Promise<void> {
  const { folder } = options;
  await rm(folder, { recursive: true, force: true });
  const folders = [
    ...['skeleton/etc/libvirt', 'skeleton/etc/pki', 'skeleton/etc/vmferry', 'skeleton/dev/vmferry'],
    ...['skeleton/var-lib/libvirt', 'skeleton/var-lib/vmferry'],
    ...['skeleton/usr-share/vmferry-guest', 'skeleton/usr-share/vmferry-lab'],
    ...['etc/libvirt/hooks', 'etc/libvirt/qemu', 'etc/pki', 'etc/vmferry'],
    ...['var/lib/libvirt', 'var/lib/vmferry', 'var/cache/libvirt', 'var/log/libvirt/qemu'],
  ];
  for (const path of folders) await mkdir(join(folder, path), { recursive: true });
  const etc = join(folder, 'etc');
  const hosts = options.neighbours.map(({ name, address }) => `${address} ${name}\n`).join('');
  await Promise.all([
    makeImage(join(folder, 'pool.img'), options.poolBytes),
    ...(options.stateBytes > 0 ? [makeImage(join(folder, 'state.img'), options.stateBytes)] : []),
    layOutPki(options.pkiDir, etc, options.name),
    writeLibvirtObjects(join(etc, 'libvirt'), options.name, options.shared),
    writeFile(join(etc, 'libvirt/libvirtd.conf'), libvirtdConf(options)),
    writeFile(join(etc, 'libvirt/qemu.conf'), qemuConf(options)),
    writeFile(
      join(folder, 'skeleton/etc/hosts'),
      `127.0.0.1 localhost\n198.51.100.1 control\n${hosts}`,
    ),
    writeFile(join(folder, 'skeleton/etc/hostname'), `${options.name}\n`),
  ]);
}
