/** Things that go wrong, on purpose. Each says what it does to whom, and how it is undone. */
import { randomUUID } from 'node:crypto';
import { rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { permanent } from '../domain/errors.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';
import { identify, isAlive, signalProcess } from './processes.ts';
import type { ProcessId } from './processes.ts';
import { waitUntil } from './wait.ts';

/**
 * Ends a process with SIGKILL and resolves once it is gone. Take its identity (`identify(pid)`) while it is known to be
 * the right one; throws `lab-process-gone` rather than hit another.
 */
export async function killProcess9(target: ProcessId): Promise<void> {
  if (!signalProcess(target, 'SIGKILL')) throw gone(target);
  await waitUntil(() => !isAlive(target), {
    what: `process ${target.pid} to end`,
    timeoutMs: 5_000,
  });
}

const gone = (target: ProcessId): Error =>
  permanent({
    code: 'lab-process-gone',
    message: `process ${target.pid} is gone, or another has its number now`,
    remedy: 'Find the process again.',
  });

/** Cuts a host off the lab's network, silently, both ways; the result mends it. */
export async function cutLink(lab: Lab, host: string): Promise<() => Promise<void>> {
  await lab.setLink(host, { up: false });
  return () => lab.setLink(host, { up: true });
}

/** Ends a host's libvirtd with SIGKILL; guests run on. The result starts it again. */
export async function killLibvirtd(host: LabHost): Promise<() => Promise<void>> {
  await host.libvirtd.kill9();
  return () => host.libvirtd.start();
}

/** The QEMU process of a running VM; undefined if it has none. */
export async function findQemu(host: LabHost, vm: string): Promise<ProcessId | undefined> {
  const pidFile = `/run/libvirt/qemu/${vm}.pid`;
  const read = await host.exec(['cat', pidFile], { timeoutMs: 5_000, reject: false });
  return read.exitCode === 0 ? identify(Number(read.stdout)) : undefined;
}

const lastBytes = 1024 * 1024;
/** A copy that writes meanwhile may take a part of what was free when it was counted. */
const mostFills = 20;

/**
 * Fills the file system under a folder of a host until about `leaveBytes` are free; the result gives the room back.
 * `filler` is the file that takes it.
 */
async function fill(
  host: LabHost,
  { filler, leaveBytes }: { filler: string; leaveBytes: number },
): Promise<() => Promise<void>> {
  const release = (): Promise<void> => rm(host.rootOf(filler), { force: true });
  for (let fills = 1; ; fills += 1) {
    const { bavail, bsize } = await statfs(host.rootOf(dirname(filler)));
    // The last blocks go to what describes a file, and how many no count of free ones tells: those are written away.
    const takeBytes = bavail * bsize - Math.max(leaveBytes, lastBytes);
    if (takeBytes <= 0) break;
    try {
      await host.exec(['fallocate', '-l', String(takeBytes), filler], { timeoutMs: 30_000 });
      break;
    } catch (error) {
      await release();
      if (fills === mostFills || !/No space left/.test(String(error))) throw error;
    }
  }
  if (leaveBytes === 0) {
    const rest = ['dd', 'if=/dev/zero', 'bs=1k', 'oflag=append', 'conv=notrunc', `of=${filler}`];
    await host.exec(rest, { timeoutMs: 30_000, reject: false });
  }
  return release;
}

/** Fills the file system under both pools of a host. The filler lies beside the pools, so libvirt does not list it. */
export const fillPool = (host: LabHost, leaveBytes: number): Promise<() => Promise<void>> =>
  fill(host, { filler: `/var/lib/libvirt/storage/filler-${randomUUID()}`, leaveBytes });

/** Fills the file system of a host's state folder. Only for a lab made with `stateBytes`. */
export const fillState = (host: LabHost, leaveBytes: number): Promise<() => Promise<void>> =>
  fill(host, { filler: `${host.stateDir}/filler-${randomUUID()}`, leaveBytes });

/** Stops one process in mid-step, as a worker in a debugger or on a stalled disk stands; the result lets it go on. */
export function stopProcess(target: ProcessId): () => void {
  if (!signalProcess(target, 'SIGSTOP')) throw gone(target);
  return () => {
    signalProcess(target, 'SIGCONT');
  };
}
