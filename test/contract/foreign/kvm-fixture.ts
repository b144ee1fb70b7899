/** A foreign KVM host: a libvirtd in namespaces of its own and, beside it, a real sshd that knows one key. */
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RemoteKvmOptions } from '../../../platforms/remote-kvm/options.ts';
import type { SshLogin } from '../../../platforms/ssh/hops.ts';
import { RemoteKvmSource } from '../../../platforms/remote-kvm/source.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type {
  PrivateLibvirtd,
  PrivateLibvirtdOptions,
} from '../libvirt-protocol/private-libvirtd.ts';
import { fileDisk, vmXml } from '../platforms/host.ts';
import type { VmOptions } from '../platforms/host.ts';
import { makeKey } from '../ssh/private-sshd.ts';

export const run = promisify(execFile);
export const sshdIsHere = existsSync('/usr/sbin/sshd');
export const mebibyte = 1024 * 1024;

export interface ForeignKvm {
  dir: string;
  /** Folder of images, seen under the same path from here and there. */
  pool: string;
  /** Folder that sockets are put into, likewise. */
  folder: string;
  libvirtd: PrivateLibvirtd;
  /** Options of a source; `ssh` leads to the sshd. */
  options(changes?: Partial<RemoteKvmOptions>): RemoteKvmOptions;
  source(changes?: Partial<RemoteKvmOptions>): RemoteKvmSource;
  virsh(...args: string[]): Promise<string>;
  /** Defines a VM without an operating system; gives its UUID. */
  define(name: string, options?: VmOptions): Promise<string>;
  /** What a run leaves while it lasts: folders, servers, scratch files, backup jobs. */
  traces(): Promise<string[]>;
  end(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** A user of the host who is not root: its group may use libvirt, and the folder for sockets is its own. */
const plainUser = { name: 'ferry', id: 61_000 } as const;

/** `sshdLines` come first in sshd's configuration, where the first word on a matter counts. */
export async function startForeignKvm(
  sshdLines: readonly string[] = [],
  daemon: Pick<PrivateLibvirtdOptions, 'config' | 'env' | 'hostname'> = {},
): Promise<ForeignKvm> {
  return startKvm({ sshdLines, daemon, username: 'root', before: () => Promise.resolve('') });
}

/** The same, where one logs in as a user who is not root. */
export async function startForeignKvmOfAUser(): Promise<ForeignKvm> {
  const { name, id } = plainUser;
  return startKvm({
    ...{ sshdLines: [], username: name },
    daemon: { config: [`unix_sock_group = "${name}"`, 'unix_sock_rw_perms = "0770"'] },
    before: async (dir) => {
      const known = `${name}:x:${id}:${id}::/nonexistent:/bin/sh\n`;
      await writeFile(join(dir, 'passwd'), (await readFile('/etc/passwd', 'utf8')) + known);
      const group = `${name}:x:${id}:\n`;
      await writeFile(join(dir, 'group'), (await readFile('/etc/group', 'utf8')) + group);
      await chmod(dir, 0o711);
      await chown(join(dir, 'f'), id, id);
      return ['passwd', 'group']
        .map((file) => `mount --bind ${dir}/${file} /etc/${file}\n`)
        .join('');
    },
  });
}

interface KvmOfTest {
  sshdLines: readonly string[];
  daemon: Pick<PrivateLibvirtdOptions, 'config' | 'env' | 'hostname'>;
  username: string;
  /** Commands that the host begins with; gets the folder of all of it. */
  before: (dir: string) => Promise<string>;
}

async function startKvm({ sshdLines, daemon, username, before }: KvmOfTest): Promise<ForeignKvm> {
  const dir = await mkdtemp('/var/tmp/vmfk-');
  const [pool, folder] = [join(dir, 'pool'), join(dir, 'f')];
  await mkdir(pool);
  await mkdir(folder);
  const hostKey = await makeKey(join(dir, 'host-key'));
  const userKey = await makeKey(join(dir, 'user-key'));
  const port = await freePort();
  const sshdConfig = [
    ...sshdLines,
    ...[`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${hostKey.file}`],
    ...[`AuthorizedKeysFile ${userKey.file}.pub`, 'PidFile none', 'UsePAM no', 'StrictModes no'],
    ...['PermitRootLogin yes', 'Subsystem sftp internal-sftp', 'SetEnv HOME=/nonexistent'],
  ];
  await writeFile(join(dir, 'sshd_config'), `${sshdConfig.join('\n')}\n`);
  await writeFile(
    join(dir, 'shadow'),
    `root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n${plainUser.name}:*:19000:0:99999:7:::\n`,
  );
  const libvirtd = await startPrivateLibvirtd({
    ...daemon,
    dir: join(dir, 'host'),
    // To be reached on the machine's loopback, where this sshd has a port of its own.
    sharesNetwork: true,
    before: `${await before(dir)}mount --bind ${dir}/shadow /etc/shadow
mkdir -p /run/sshd; /usr/sbin/sshd -f ${dir}/sshd_config -E ${dir}/sshd.log\n`,
  });
  const ssh: SshLogin = {
    host: '127.0.0.1',
    port,
    username,
    auth: { privateKey: userKey.privateKey },
    hostKeySha256: hostKey.fingerprint,
  };
  const options = (changes: Partial<RemoteKvmOptions> = {}): RemoteKvmOptions => ({
    ...{ name: 'elsewhere', ssh, label: 'm1', folder },
    ...changes,
  });
  const virsh = async (...args: string[]): Promise<string> =>
    (await libvirtd.exec('virsh', '-q', ...args)).stdout.trim();
  return {
    ...{ dir, pool, folder, libvirtd, options, virsh },
    source: (changes) => new RemoteKvmSource(options(changes)),
    define: async (name, vm = {}) => {
      const uuid = vm.uuid ?? randomUUID();
      await writeFile(join(dir, `${name}.xml`), vmXml(name, { ...vm, uuid }));
      await virsh('define', join(dir, `${name}.xml`));
      return uuid;
    },
    traces: async () => {
      const scratch = (await readdir(pool)).filter((name) => name.includes('vmferry'));
      const { stdout } = await libvirtd.exec('ps', '-eo', 'args');
      const servers = stdout.split('\n').filter((line) => /^qemu-nbd|^dd bs=1/.test(line));
      const jobs: string[] = [];
      for (const name of (await virsh('list', '--name')).split('\n').filter(Boolean)) {
        const found = await virsh('backup-dumpxml', name).catch(() => '');
        if (found !== '') jobs.push(`backup of ${name}`);
      }
      return [...(await readdir(folder)), ...scratch, ...servers, ...jobs].sort();
    },
    end: async () => {
      await libvirtd.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A sparse raw file with bytes that nothing else has, here and there. */
export async function writeRaw(
  path: string,
  { sizeMiB, dataMiB }: { sizeMiB: number; dataMiB: number },
): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.truncate(sizeMiB * mebibyte);
    const strideMiB = Math.floor(sizeMiB / dataMiB);
    for (let at = 0; at < dataMiB; at += 1) {
      await file.write(randomBytes(mebibyte), 0, mebibyte, at * strideMiB * mebibyte);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

export { fileDisk };
