/** Real storage servers of a test's own, on loopback: Ceph, an iSCSI target, loop devices. Ended by PID, never by name. */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const paths = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** What a program is run with: `nsenter` and its arguments, for a server whose loopback is another's. */
type Around = readonly string[];

/** Runs a program to its end, within 55 s; resolves to its output. */
export const run = async (program: string, ...args: string[]): Promise<string> =>
  (await execute(program, args, { timeout: 55_000, killSignal: 'SIGKILL' })).stdout.trim();

const runAround = (around: Around, program: string, ...args: string[]): Promise<string> => {
  const [first = program, ...others] = [...around, program, ...args];
  return run(first, ...others);
};

/** Why a block of tests cannot run; undefined if it can. Said loudly: a test that was left out proves nothing. */
export function lacking(what: string, ...programs: string[]): string | undefined {
  const missing = programs.filter((name) => !paths.some((path) => existsSync(`${path}/${name}`)));
  if (missing.length === 0) return undefined;
  console.warn(`NOT TRIED: ${what}: this machine has no ${missing.join(', ')}`);
  return missing.join(', ');
}

/** A port of loopback below those that the kernel gives out, so that nobody gets it by chance. */
async function freePort(from: number): Promise<number> {
  for (let port = from; port < from + 200; port += 1) {
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error(`no free port from ${from} on`);
}

/** Waits for what no event tells of; the limit bears a loaded machine. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`${what} did not come up`);
    await delay(50);
  }
}

/** A child that ends with the test's own process, whatever becomes of it. */
function child(
  around: Around,
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  return spawn('setpriv', ['--pdeathsig=KILL', ...around, ...command], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  });
}

async function end(...children: ChildProcess[]): Promise<void> {
  for (const each of children) {
    if (each.exitCode !== null || each.signalCode !== null) continue;
    const gone = once(each, 'exit');
    each.kill('SIGKILL');
    await gone;
  }
}

export interface Ceph {
  dir: string;
  /** The monitor, on 127.0.0.1. */
  port: number;
  pool: string;
  ceph(...args: string[]): Promise<string>;
  rbd(...args: string[]): Promise<string>;
  /** The value of the key with which the user `admin` logs in, base64. */
  key: string;
  end(): Promise<void>;
}

const cephConf = (dir: string, port: number, fsid: string): string => `[global]
fsid = ${fsid}
mon host = [v1:127.0.0.1:${port}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = ${dir}/keyring
ms bind msgr2 = false
ms bind port min = ${port + 100}
ms bind port max = ${port + 180}
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = true
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush update on start = false
osd class update on start = false
osd crush chooseleaf type = 0
mon data = ${dir}/mon
osd data = ${dir}/osd
mon data avail crit = 1
mon data avail warn = 1
run dir = ${dir}
admin socket = ${dir}/$name.asok
log file = ${dir}/$name.log
pid file =
crash dir = ${dir}
`;

/** One monitor and one OSD that keeps its data in memory; clients have to log in. Up in some seconds. */
export async function startCeph(around: Around = []): Promise<Ceph> {
  const dir = await mkdtemp('/var/tmp/vmferry-ceph-');
  const port = await freePort(17_000 + (process.pid % 50) * 200);
  const conf = join(dir, 'ceph.conf');
  const ceph = (...args: string[]) =>
    runAround(around, 'ceph', '-c', conf, '--connect-timeout', '20', ...args);
  const children: ChildProcess[] = [];
  try {
    const fsid = await readFile('/proc/sys/kernel/random/uuid', 'ascii');
    await writeFile(conf, cephConf(dir, port, fsid.trim()));
    await mkdir(join(dir, 'osd'));
    const caps = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *'];
    const keyring = join(dir, 'keyring');
    await run(
      'ceph-authtool',
      '--create-keyring',
      keyring,
      '--gen-key',
      '-n',
      'mon.',
      '--cap',
      'mon',
      'allow *',
    );
    await run('ceph-authtool', keyring, '--gen-key', '-n', 'client.admin', ...caps);
    const map = join(dir, 'monmap');
    const monitors = ['--addv', 'a', `[v1:127.0.0.1:${port}]`];
    await run('monmaptool', '--create', '--fsid', fsid.trim(), ...monitors, map);
    await run('ceph-mon', '-c', conf, '--mkfs', '-i', 'a', '--monmap', map, '--keyring', keyring);
    children.push(child(around, ['ceph-mon', '-c', conf, '-i', 'a', '-f']));
    await until('ceph-mon', async () => (await ceph('mon', 'stat')).includes('quorum'));
    await ceph('osd', 'create');
    await ceph('osd', 'crush', 'add', 'osd.0', '1', 'root=default');
    const osdKeyring = join(dir, 'osd', 'keyring');
    const osdCaps = ['mon', 'allow profile osd', 'osd', 'allow *'];
    await ceph('auth', 'get-or-create', 'osd.0', ...osdCaps, '-o', osdKeyring);
    const making = ['-c', conf, '-i', '0', '--mkfs', '--keyring', osdKeyring];
    await runAround(around, 'ceph-osd', ...making);
    children.push(
      child(around, ['ceph-osd', '-c', conf, '-i', '0', '-f', '--keyring', osdKeyring]),
    );
    await until('ceph-osd', async () => (await ceph('osd', 'stat')).includes('1 up'));
    await ceph('osd', 'pool', 'create', 'vms', '8', '8', '--yes-i-really-mean-it').catch(() =>
      ceph('osd', 'pool', 'create', 'vms', '8', '8'),
    );
    const key = await ceph('auth', 'print-key', 'client.admin');
    const rbd = (...args: string[]) => runAround(around, 'rbd', '-c', conf, '-p', 'vms', ...args);
    return {
      dir,
      port,
      pool: 'vms',
      ceph,
      rbd,
      key,
      end: async () => {
        await end(...children);
        await rm(dir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await end(...children);
    const log = await readFile(join(dir, 'osd.0.log'), 'utf8').catch(() => '');
    await rm(dir, { recursive: true, force: true });
    throw new Error(`Ceph did not start: ${log.slice(-2000)}`, { cause: error });
  }
}

export interface IscsiTarget {
  port: number;
  iqn: string;
  login: { username: string; password: string };
  /** Adds a LUN on a file. */
  lun(number: number, path: string): Promise<void>;
  end(): Promise<void>;
}

/** A target that demands CHAP. */
export async function startIscsi(around: Around = []): Promise<IscsiTarget> {
  const dir = await mkdtemp('/var/tmp/vmferry-tgt-');
  const port = await freePort(29_000 + (process.pid % 50) * 20);
  const env = { TGT_IPC_SOCKET: join(dir, 'ipc') };
  const iqn = 'iqn.2026-11.example:disks';
  const login = { username: 'vmferry', password: 'only,for=tests' };
  const daemon = child(around, ['tgtd', '-f', '--iscsi', `portal=127.0.0.1:${port}`], env);
  const admin = async (...args: string[]): Promise<void> => {
    await execute('tgtadm', ['--lld', 'iscsi', ...args], {
      timeout: 30_000,
      env: { ...process.env, ...env },
    });
  };
  const stop = async (): Promise<void> => {
    await end(daemon);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const target = ['--mode', 'target', '--tid', '1'];
    await until('tgtd', async () => {
      await admin('--op', 'new', ...target, '-T', iqn);
      return true;
    });
    const { username: user, password } = login;
    await admin('--op', 'new', '--mode', 'account', '--user', user, '--password', password);
    await admin('--op', 'bind', '--mode', 'account', '--tid', '1', '--user', user);
    await admin('--op', 'bind', ...target, '-I', 'ALL');
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    iqn,
    login,
    lun: (number, path) =>
      admin(
        '--op',
        'new',
        '--mode',
        'logicalunit',
        '--tid',
        '1',
        '--lun',
        String(number),
        '-b',
        path,
      ),
    end: stop,
  };
}

export interface LoopDevice {
  path: string;
  detach(): Promise<void>;
}

/** A loop device on a new file of that size, with sectors of that size. */
export async function loopDevice(
  file: string,
  { sizeBytes, sectorBytes }: { sizeBytes: number; sectorBytes: 512 | 4096 },
): Promise<LoopDevice> {
  await run('truncate', '-s', String(sizeBytes), file);
  const path = await run('losetup', '--show', '-f', '-b', String(sectorBytes), file);
  return {
    path,
    detach: async () => {
      await run('losetup', '-d', path);
    },
  };
}
