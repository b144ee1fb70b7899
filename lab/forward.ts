/**
 * Doors between the machine's loopback and the lab's network: two socats, one on each side of the namespace, joined by
 * a unix socket in the lab's folder.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { transient } from '../domain/errors.ts';
import { labelOf } from './owner.ts';
import { identify, isAlive, signalProcess } from './processes.ts';
import type { ProcessId } from './processes.ts';
import type { ForwardState } from './state.ts';
import { waitUntil } from './wait.ts';

export interface Door {
  key: string;
  /** Lab folder: the socket and the log lie in it. */
  dir: string;
  switchNetns: string;
  /** Which side listens. */
  listen: 'machine' | 'lab';
  listenOn: { host: string; port: number };
  to: { host: string; port: number };
}

/** Starts both halves; resolves once the port is open. The far end need not be there yet. */
export async function openDoor(
  door: Door,
  remember: (process: ProcessId) => Promise<void>,
): Promise<void> {
  const socket = `${door.key}.sock`;
  await rm(join(door.dir, socket), { force: true });
  const intoLab = ['nsenter', `--net=/run/netns/${door.switchNetns}`, '--'];
  const onListenSide = door.listen === 'lab' ? intoLab : [];
  const onFarSide = door.listen === 'lab' ? [] : intoLab;
  const far = startSocat(door, [
    ...onFarSide,
    'socat',
    `UNIX-LISTEN:${socket},fork,backlog=128`,
    `TCP:${door.to.host}:${door.to.port},nodelay`,
  ]);
  await remember(far);
  await waitUntil(() => existsSync(join(door.dir, socket)), {
    what: `the inner half of door ${door.key}`,
    timeoutMs: 5_000,
  });
  const near = startSocat(door, [
    ...onListenSide,
    'socat',
    `TCP-LISTEN:${door.listenOn.port},bind=${door.listenOn.host},reuseaddr,fork,backlog=128,nodelay`,
    `UNIX-CONNECT:${socket}`,
  ]);
  await remember(near);
  await waitUntil(
    () => {
      if (!isAlive(near)) throw cannotOpen(door);
      return listensOn(near.pid, door.listenOn.port);
    },
    { what: `port ${door.listenOn.port} of door ${door.key}`, timeoutMs: 5_000 },
  );
}

const cannotOpen = (door: Door): Error =>
  transient({
    code: 'lab-forward-failed',
    message: `${door.listenOn.host}:${door.listenOn.port} (${door.listen} side) could not be opened`,
    remedy: `Probably something listens there already; ${join(door.dir, `${door.key}.log`)} says more.`,
  });

// Relative socket names keep within the 107 bytes of a unix address, however deep the lab's folder lies.
function startSocat(door: Door, command: readonly string[]): ProcessId {
  const log = openSync(join(door.dir, `${door.key}.log`), 'a');
  const [program = 'socat', ...args] = command;
  const child = spawn(program, args, {
    cwd: door.dir,
    detached: true,
    stdio: ['ignore', log, log],
    env: { PATH: process.env['PATH'], ...labelOf(door.dir) },
  });
  closeSync(log);
  child.once('error', () => undefined);
  child.unref();
  const started = identify(child.pid ?? 0);
  if (started === undefined) throw cannotOpen(door);
  return started;
}

/** Whether the namespace of that process has a listener on the port: /proc/<pid>/net/tcp, state 0A. */
function listensOn(pid: number, port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
    .split('\n')
    .some((line) => {
      const [, local = '', , state] = line.trim().split(/\s+/);
      return state === '0A' && local.endsWith(wanted);
    });
}

/** Ends both halves and every connection they carry; says nothing if they are gone. */
export async function closeDoor(dir: string, state: ForwardState): Promise<void> {
  for (const half of state.processes) {
    // Each half leads its own process group, which holds the children that carry connections.
    if (isAlive(half)) process.kill(-half.pid, 'SIGKILL');
    signalProcess(half, 'SIGKILL');
  }
  await rm(join(dir, `${state.key}.sock`), { force: true });
}
