/** Things that go wrong, on purpose. Each says what it does to whom, and how it is undone. */
import { randomUUID } from 'node:crypto';
import { rm, statfs } from 'node:fs/promises';
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
  if (!signalProcess(target, 'SIGKILL')) {
    throw permanent({
      code: 'lab-process-gone',
      message: `process ${target.pid} is gone, or another has its number now`,
      remedy: 'Find the process again.',
    });
  }
  await waitUntil(() => !isAlive(target), {
    what: `process ${target.pid} to end`,
    timeoutMs: 5_000,
  });
}

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

const freeBytes = async (host: LabHost): Promise<number> => {
  const pool = await statfs(host.rootOf(host.poolPath));
  return pool.bavail * pool.bsize;
};

/**
 * Fills the file system under both pools of a host until about `leaveBytes` are free; the result gives the room back.
 * The filler lies beside the pools, so libvirt does not list it.
 */
export async function fillPool(host: LabHost, leaveBytes: number): Promise<() => Promise<void>> {
  const filler = `/var/lib/libvirt/storage/filler-${randomUUID()}`;
  const takeBytes = (await freeBytes(host)) - leaveBytes;
  if (takeBytes > 0) {
    await host.exec(['fallocate', '-l', String(takeBytes), filler], { timeoutMs: 30_000 });
  }
  return () => rm(host.rootOf(filler), { force: true });
}
