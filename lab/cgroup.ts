/** One cgroup (version 2) a host, so that a whole host can be frozen or killed at once. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { permanent } from '../domain/errors.ts';
import { waitUntil } from './wait.ts';

/** Where the version 2 hierarchy is mounted: /sys/fs/cgroup, or below it on machines with both. */
function mountPoint(): string | undefined {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1];
}

/** The folder of a cgroup of that name, whether there is one or not; '' where the machine has no such hierarchy. */
export function cgroupFolder(name: string): string {
  const root = mountPoint();
  return root === undefined ? '' : join(root, name);
}

/** Makes it; false where the machine does not let us. */
export function makeCgroup(folder: string): boolean {
  if (folder === '') return false;
  try {
    mkdirSync(folder, { recursive: true });
    readFileSync(join(folder, 'cgroup.freeze'));
    return true;
  } catch {
    return false;
  }
}

/** Removes it once its last process is gone; false if it is still there. */
export function removeCgroup(folder: string): boolean {
  if (folder === '') return true;
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function need(folder: string, host: string): string {
  if (folder !== '') return folder;
  throw permanent({
    code: 'lab-no-cgroup',
    message: `host ${host} has no cgroup of its own, so it cannot be frozen or killed as a whole`,
    remedy: 'Mount cgroup2 writable (it usually is at /sys/fs/cgroup) and start the lab again.',
    host,
  });
}

function populatedAndFrozen(folder: string): { populated: boolean; frozen: boolean } {
  const events = readFileSync(join(folder, 'cgroup.events'), 'utf8');
  return { populated: events.includes('populated 1'), frozen: events.includes('frozen 1') };
}

/** Whether its processes stand still by our doing. */
export const isFrozen = (folder: string): boolean =>
  folder !== '' && populatedAndFrozen(folder).frozen;

/** Freezes or thaws every process; resolves when the kernel says that it is so. */
export async function setFrozen(folder: string, host: string, frozen: boolean): Promise<void> {
  const cgroup = need(folder, host);
  writeFileSync(join(cgroup, 'cgroup.freeze'), frozen ? '1' : '0');
  await waitUntil(() => populatedAndFrozen(cgroup).frozen === frozen, {
    what: `host ${host} to be ${frozen ? 'frozen' : 'thawed'}`,
    timeoutMs: 5_000,
    host,
  });
}

/** Kills every process, frozen ones too; resolves when none is left. */
export async function killCgroup(folder: string, host: string): Promise<void> {
  const cgroup = need(folder, host);
  writeFileSync(join(cgroup, 'cgroup.kill'), '1');
  await waitUntil(() => !populatedAndFrozen(cgroup).populated, {
    what: `the processes of host ${host} to end`,
    timeoutMs: 10_000,
    host,
  });
}
