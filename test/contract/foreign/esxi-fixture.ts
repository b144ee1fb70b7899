/** An ESXi as its datastores are read by SSH: a real sshd with a root folder of its own, behind a wire that can be cut. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SshLogin } from '../../../platforms/ssh/hops.ts';
import { makeKey, startPrivateSshd } from '../ssh/private-sshd.ts';

const run = promisify(execFile);

export interface Esxi {
  login(changes?: Partial<SshLogin>): SshLogin;
  /** The folder of a VM on its only datastore. */
  folderOf(vm: string): string;
  /** Puts a disk there as an ESXi has it: a descriptor, and its bytes in a file beside it. */
  putDisk(vm: string, raw: string): Promise<void>;
  /** Ends every connection at once; new ones are taken. */
  cut(): void;
  /** Whether new connections are taken; they are hung up on if not. */
  listens: boolean;
  /** Another password for who comes from now on. */
  changePassword(): Promise<void>;
  /** Connections and programs that are there because somebody reads, and all files. */
  traces(): Promise<string[]>;
  end(): Promise<void>;
}

const password = 'only for tests';

/** `sftp`: as newer ones have it; without it there is a shell alone. */
export async function startEsxi(dir: string, { sftp }: { sftp: boolean }): Promise<Esxi> {
  const root = join(dir, 'root');
  const store = join(root, 'vmfs/volumes/LocalDS_0');
  await mkdir(store, { recursive: true });
  const hostKey = await makeKey(join(dir, 'host-key'));
  const config = ['ChrootDirectory /mnt', ...(sftp ? ['Subsystem sftp internal-sftp'] : [])];
  const sshd = await startPrivateSshd({ dir, hostKey, authorizedKeys: [], password, config });
  const wire = await openWire(sshd.port);
  return {
    login: (changes = {}) => ({
      ...{ host: '127.0.0.1', port: wire.port, username: 'root', auth: { password } },
      hostKeySha256: hostKey.fingerprint,
      ...changes,
    }),
    folderOf: (vm) => join(store, vm),
    putDisk: async (vm, raw) => {
      await mkdir(join(store, vm), { recursive: true });
      const made = join(store, vm, 'disk-2000.vmdk');
      const options = 'subformat=monolithicFlat';
      await run('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', '-o', options, raw, made]);
    },
    cut: wire.cut,
    get listens() {
      return wire.listens;
    },
    set listens(value) {
      wire.listens = value;
    },
    changePassword: async () => {
      const { stdout } = await run('openssl', ['passwd', '-6', 'another one']);
      const shadow = `root:${stdout.trim()}:19000:0:99999:7:::\nsshd:!:19000::::::\n`;
      // In its place, for it is mounted from here.
      await writeFile(join(dir, 'shadow'), shadow);
    },
    traces: async () => {
      const files = await readdir(join(root, 'vmfs'), { recursive: true });
      return [`${wire.open()} connections`, ...(await programs()), ...files.sort()];
    },
    end: async () => {
      await wire.close();
      await sshd.kill();
    },
  };
}

/** Programs that read a datastore. */
async function programs(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (/\0if=\/vmfs\//.test(line)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

async function openWire(to: number) {
  const sockets = new Set<Socket>();
  const wire = { port: 0, listens: true, open: () => sockets.size / 2, cut, close };
  const server = createServer((near) => {
    if (!wire.listens) {
      near.destroy();
      return;
    }
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true).on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        (socket === near ? far : near).destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  wire.port = (server.address() as AddressInfo).port;
  function cut(): void {
    for (const socket of sockets) socket.destroy();
  }
  async function close(): Promise<void> {
    cut();
    await new Promise((resolve) => server.close(resolve));
  }
  return wire;
}
