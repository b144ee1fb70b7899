/**
 * A real libvirtd of a test's own, in namespaces that end with the test process: it sees neither the
 * machine's libvirt nor its network. Needs root, libvirtd and util-linux; up in about a second.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BOOT_SCRIPT = join(import.meta.dirname, 'boot-private-host.sh');
const CACHE_DIR = join(import.meta.dirname, '../../../node_modules/.cache/private-libvirtd');
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

export interface PrivateLibvirtdOptions {
  /** An empty folder, absolute: the host's `/etc/libvirt`, `/var/lib/libvirt` and so on lie in it. */
  readonly dir: string;
  /** `vmfp-<pid>` unless it is given. */
  readonly hostname?: string;
  /** The text of `/etc/libvirt/hooks/qemu`. */
  readonly qemuHook?: string;
  /** More lines for libvirtd.conf. */
  readonly config?: readonly string[];
  /** Shell commands that run in the namespaces before the daemon. */
  readonly before?: string;
  /** More environment of the daemon. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where its sockets lie if other namespaces must see them too; `/run/libvirt` unless it is given. */
  readonly socketDir?: string;
  /** In the machine's network, to reach servers on its loopback; else in one of its own. */
  readonly sharesNetwork?: boolean;
  /** Makes libvirtd listen with TLS on 127.0.0.1:16514 of its own network namespace. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Where a private libvirtd is and what can be done with it. */
export interface PrivateLibvirtd {
  /** The first process of its namespaces, as the machine numbers it. */
  readonly pid: number;
  /** The read-write socket, as seen from outside the namespaces. */
  readonly unixPath: string;
  /** The read-only socket. */
  readonly readOnlyUnixPath: string;
  /** The folder that was given. */
  readonly dir: string;
  /** Runs a command inside all the namespaces; rejects if it fails or takes over 30 s. */
  exec(command: string, ...args: readonly string[]): Promise<ExecResult>;
  /** Ends the daemon as a crash would (SIGKILL); guests go on. */
  killDaemon(): Promise<void>;
  /** Starts the daemon again after `killDaemon`. */
  startDaemon(): Promise<void>;
  /** Ends every process of the namespaces. */
  stop(): Promise<void>;
}

/** Starts one; resolves when it takes connections. */
export async function startPrivateLibvirtd(
  options: PrivateLibvirtdOptions,
): Promise<PrivateLibvirtd> {
  const { dir, hostname = `vmfp-${process.pid}`, tls, socketDir } = options;
  await writeConfiguration(options);
  const listen = tls === undefined ? '' : '--listen';
  const namespaces = [
    '--mount',
    '--uts',
    ...(options.sharesNetwork === true ? [] : ['--net']),
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ];
  const unshare = spawn(
    'unshare',
    [...namespaces, '--', 'bash', BOOT_SCRIPT, dir, hostname, CACHE_DIR, listen],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env } },
  );
  try {
    await untilReady(unshare);
    const pid = await onlyChildOf(unshare.pid ?? 0);
    return privateLibvirtd({ dir, pid, unshare, listen, socketDir });
  } catch (error) {
    unshare.stdin.end();
    const log = await readFile(join(dir, 'var/log/libvirt/libvirtd.log'), 'utf8').catch(() => '');
    throw new Error(`private libvirtd did not start; its log: ${log}`, { cause: error });
  }
}

interface Running {
  readonly dir: string;
  readonly pid: number;
  readonly unshare: ChildProcess;
  readonly listen: string;
  readonly socketDir: string | undefined;
}

function privateLibvirtd({ dir, pid, unshare, listen, socketDir }: Running): PrivateLibvirtd {
  const exec = (command: string, ...args: readonly string[]): Promise<ExecResult> =>
    run('nsenter', ['-t', String(pid), '-m', '-u', '-n', '-p', '--', command, ...args], {
      timeout: START_LIMIT_MS,
    });
  const socket = (name: string): string =>
    `/proc/${pid}/root${socketDir ?? '/run/libvirt'}/${name}`;
  return {
    pid,
    dir,
    unixPath: socket('libvirt-sock'),
    readOnlyUnixPath: socket('libvirt-sock-ro'),
    exec,
    killDaemon: async () => {
      // /proc of the namespace numbers the processes as its pid file does.
      await exec(
        'bash',
        '-c',
        'p=$(cat /run/libvirtd.pid); kill -9 $p; tail -s 0.05 --pid=$p -f /dev/null',
      );
    },
    startDaemon: async () => {
      const listening = listen === '' ? [] : [listen];
      await exec('libvirtd', '-d', ...listening, '-p', '/run/libvirtd.pid');
    },
    stop: async () => {
      if (unshare.exitCode !== null || unshare.signalCode !== null) return;
      const gone = new Promise((resolve) => unshare.once('exit', resolve));
      unshare.stdin?.end();
      const timer = setTimeout(() => unshare.kill('SIGKILL'), STOP_LIMIT_MS);
      await gone;
      clearTimeout(timer);
    },
  };
}

async function writeConfiguration(options: PrivateLibvirtdOptions): Promise<void> {
  const { dir, qemuHook, tls, socketDir, before, config = [] } = options;
  const etc = join(dir, 'etc/libvirt');
  await mkdir(join(etc, 'hooks'), { recursive: true });
  if (before !== undefined) await writeFile(join(dir, 'before-libvirtd.sh'), before);
  const tlsFiles = { ca_file: tls?.ca, cert_file: tls?.cert, key_file: tls?.key };
  const lines = [
    // The first word on a matter counts.
    ...config,
    `host_uuid = "${randomUUID()}"`,
    'listen_tcp = 0',
    `listen_tls = ${tls === undefined ? 0 : 1}`,
    'listen_addr = "127.0.0.1"',
    'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"',
    'auth_unix_rw = "none"',
    'auth_unix_ro = "none"',
    ...Object.entries(tlsFiles).flatMap(([name, path]) => (path ? [`${name} = "${path}"`] : [])),
    ...(socketDir === undefined ? [] : [`unix_sock_dir = "${socketDir}"`]),
  ];
  await writeFile(join(etc, 'libvirtd.conf'), `${lines.join('\n')}\n`);
  await writeFile(
    join(etc, 'qemu.conf'),
    [
      'user = "root"',
      'group = "root"',
      'remember_owner = 0',
      'security_driver = "none"',
      'namespaces = [ ]',
      'cgroup_controllers = [ ]',
      'stdio_handler = "file"',
      '',
    ].join('\n'),
  );
  if (qemuHook === undefined) return;
  await writeFile(join(etc, 'hooks/qemu'), qemuHook);
  await chmod(join(etc, 'hooks/qemu'), 0o755);
}

/** The boot script prints `ready`; whatever else happens first is a failure with its own words. */
async function untilReady(unshare: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  let complaint = '';
  unshare.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const fail = (what: string): void => reject(new Error(`private libvirtd ${what}: ${complaint}`));
  unshare.once('error', (error) => fail(`cannot be started (${error.message})`));
  unshare.once('exit', (code) => fail(`ended with ${code ?? 'a signal'} before it was ready`));
  const timer = setTimeout(() => fail(`was not ready in ${START_LIMIT_MS} ms`), START_LIMIT_MS);
  if (unshare.stdout) {
    createInterface({ input: unshare.stdout }).on('line', (line) => {
      if (line === 'ready') resolve(undefined);
    });
  }
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

async function onlyChildOf(pid: number): Promise<number> {
  const child = Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim());
  if (!Number.isInteger(child) || child <= 1) throw new Error(`process ${pid} has no single child`);
  return child;
}
