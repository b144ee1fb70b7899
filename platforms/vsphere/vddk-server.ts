/**
 * nbdkit with its VDDK plugin, for one disk: neither is ours, and VMware's library is where the user put it. It ends with
 * this process; its password goes through a pipe, so that it stands in no file and in no list of processes.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needsOperator, transient } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import { endProcess, startTimeOf, within } from '../libvirt/process.ts';
import { isReady } from '../libvirt/qemu-nbd.ts';
import { leftBehind } from './left-behind.ts';

export interface VddkOptions {
  /** Where VMware's VDDK was unpacked: `/opt/vmware-vix-disklib-distrib`. */
  libdir: string;
  /** `nbdssl:nbd`; VDDK's own choice if absent. */
  transports?: string | undefined;
  /** A path; the one of PATH if absent. */
  nbdkit?: string | undefined;
  /** Marks what a killed worker leaves here: the ID of an import. */
  label: string;
}

export interface VddkWish {
  server: string;
  port: number;
  username: string;
  password: string;
  /** SHA-1 of the server's certificate, as the plugin wants it. */
  thumbprint: string;
  /** `vm-42`. */
  vm: string;
  /** `[ds1] web/web.vmdk`. */
  file: string;
}

export interface VddkServer {
  open(): Promise<Socket>;
  /** The last of what it complained of; empty if it did not. */
  complaint(): Promise<string>;
  close(): Promise<void>;
}

/** VDDK is loaded, but no server is asked before the first client. */
const readyMs = 60_000;
const longestComplaintBytes = 4_096;

/** Throws `vddk-missing`, `vddk-failed`. */
export async function startVddkServer(
  options: VddkOptions,
  wish: VddkWish,
  signal?: AbortSignal,
): Promise<VddkServer> {
  const { libdir, transports, nbdkit = 'nbdkit', label } = options;
  const folder = await mkdtemp(join(tmpdir(), prefixOf(label)));
  const [socket, pidFile, log] = ['sock', 'pid', 'log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const host = wish.server;
  const args = [
    ...['--foreground', '--readonly', '--exit-with-parent', '--log=stderr'],
    ...[`--unix=${socket}`, `--pidfile=${pidFile}`, 'vddk', `libdir=${libdir}`],
    ...[`server=${wish.server}`, `port=${wish.port}`, `user=${wish.username}`, 'password=-3'],
    ...[`thumbprint=${wish.thumbprint}`, `vm=moref=${wish.vm}`],
    ...(transports === undefined ? [] : [`transports=${transports}`]),
    `file=${wish.file}`,
  ];
  const complaint = (): Promise<string> => lastWords(log);
  const forget = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const pid = await start(nbdkit, args, { log, password: wish.password });
    const startTime = startTimeOf(pid) ?? '';
    const close = async (): Promise<void> => {
      await endProcess({ pid, startTime }, { argument: `--unix=${socket}`, host });
      await forget();
    };
    const isUp = (): Promise<boolean> => isReady(pid, pidFile);
    const hasEnded = (): boolean => startTimeOf(pid) !== startTime;
    try {
      await within(readyMs, async () => (await isUp()) || hasEnded(), signal);
      if (!(await isUp())) throw vddkFault(await complaint(), { host, libdir });
    } catch (error) {
      await close();
      throw error;
    }
    return { open: () => connected(socket), complaint, close };
  } catch (error) {
    await forget();
    throw error;
  }
}

/** Only what comes after it is random, so that one label is not the beginning of another. */
const prefixOf = (label: string): string => `vmferry-vddk-${label}-`;

/**
 * Ends and removes what a killed worker left under that label. Servers end with their worker: what is met is one whose end
 * is on its way.
 */
export async function sweepVddkServers(label: string): Promise<string[]> {
  const swept: string[] = [];
  for (const { path: folder, facts } of await leftBehind(prefixOf(label), 6)) {
    if (!facts.isDirectory()) continue;
    const pid = Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => ''));
    const startTime = pid > 1 ? startTimeOf(pid) : undefined;
    if (startTime !== undefined) {
      const argument = `--unix=${join(folder, 'sock')}`;
      await endProcess({ pid, startTime }, { argument, host: 'this host' });
    }
    await rm(folder, { recursive: true, force: true });
    swept.push(folder);
  }
  return swept;
}

async function start(
  program: string,
  args: readonly string[],
  { log, password }: { log: string; password: string },
): Promise<number> {
  const file = await open(log, 'wx', 0o600);
  try {
    const child = spawn(program, args, {
      cwd: '/',
      stdio: ['ignore', 'ignore', file.fd, 'pipe'],
    });
    await new Promise((resolve, reject) => {
      child.once('spawn', () => resolve(undefined));
      child.once('error', (cause) => reject(missing(program, cause)));
    });
    const pipe = child.stdio[3];
    // One that ends before it has read it shows by its end.
    pipe?.on('error', () => undefined);
    if (pipe !== undefined && pipe !== null && 'end' in pipe) pipe.end(`${password}\n`);
    child.unref();
    if (child.pid === undefined) throw new TypeError('a process that was started has an ID');
    return child.pid;
  } finally {
    await file.close();
  }
}

async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  await new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(undefined));
    socket.once('error', reject);
  });
  return socket;
}

async function lastWords(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => /error|cannot|failed|denied/i.test(line));
  return lines.join('; ').replaceAll(/\s+/g, ' ').slice(-longestComplaintBytes).trim();
}

const missing = (program: string, cause: unknown): VmFerryError =>
  needsOperator({
    code: 'vddk-missing',
    message: `${program} could not be started, which reads disks by VDDK`,
    remedy: 'Install nbdkit with its vddk plugin on the conversion host, or use another dataPath.',
    cause,
  });

/** What nbdkit's or VDDK's last words mean; their texts are of nbdkit's manual and of VMware's. */
export function vddkFault(
  complaint: string,
  { host, libdir, cause }: { host: string; libdir: string; cause?: unknown },
): VmFerryError {
  const about = { message: `VDDK: ${complaint || 'it ended and said nothing'}`, host, cause };
  if (/nbdkit-vddk-plugin|cannot open plugin/.test(complaint)) {
    const remedy =
      'Install the vddk plugin of nbdkit on the conversion host, or use another dataPath.';
    return needsOperator({ code: 'vddk-missing', remedy, ...about });
  }
  if (/libvixDiskLib|shared object|VixDiskLib_Init/.test(complaint)) {
    const remedy = `See that VDDK is unpacked in ${libdir}, and that its version fits the plugin's.`;
    return needsOperator({ code: 'vddk-missing', remedy, ...about });
  }
  if (/user ?name or password|login|permission to perform/i.test(complaint)) {
    const remedy =
      'Correct user and password of this provider; VDDK needs VirtualMachine.Provisioning.DiskRandomRead.';
    return needsOperator({ code: 'vsphere-login-refused', remedy, ...about });
  }
  if (/thumbprint|certificate/i.test(complaint)) {
    const remedy = 'See which certificate the server shows, and pin that one.';
    return needsOperator({ code: 'tls-thumbprint-mismatch', remedy, ...about });
  }
  if (/locked|failed to lock/i.test(complaint)) {
    const remedy = 'Power the VM off; end backups and other readers of its disks.';
    return transient({ code: 'vsphere-disk-locked', remedy, ...about });
  }
  const remedy =
    'It is tried again by itself; if it stays so, look that word up in the manual of VDDK, or use dataPath folder.';
  return transient({ code: 'vddk-failed', remedy, ...about });
}
