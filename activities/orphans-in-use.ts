/** Whether anybody still needs a disk of this host: its VMs, its guard, its processes. */
import { readFile, readdir, readlink, realpath, stat } from 'node:fs/promises';
import type { Orphan } from '../domain/orphans.ts';
import { diskIdentity } from '../guard/identity.ts';
import type { HostParts } from './parts.ts';

/** Disks that something on the host names, by path and by what is behind it. */
export interface NamedDisk {
  /** `VM web`, `the guard's entry of web`. */
  by: string;
  path: string;
  /** Set where the disk may be that of this very move, which does not count as a user of it. */
  unlessOf?: string;
}

/** Every disk that a VM's definition names, as one answer of the hypervisor gives them. */
export async function disksOfVms({ hypervisor }: HostParts): Promise<NamedDisk[]> {
  const { vms } = await hypervisor.facts();
  return vms.flatMap(({ name, diskPaths }) =>
    diskPaths.map((path) => ({ by: `VM ${name}`, path })),
  );
}

/** The same with the files below overlays, looked up VM by VM; rejects if one cannot be read: then nobody knows. */
export async function allDisksOfVms(parts: HostParts): Promise<NamedDisk[]> {
  const found = await disksOfVms(parts);
  for (const { uuid, name } of await parts.hypervisor.list()) {
    const { disks } = await parts.hypervisor.inspect(uuid);
    const paths = disks.flatMap(({ path, backing }) => [path, ...backing]);
    found.push(...paths.filter((path) => path !== '').map((path) => ({ by: `VM ${name}`, path })));
  }
  return found;
}

/** Disks that the guard knows as a VM's; those of an entry that a move set aside are known by that move. */
export async function guardedDisksOf({ ledger }: HostParts): Promise<NamedDisk[]> {
  const { entries } = await ledger.list();
  return entries.flatMap(({ name, disks, state, migrationId }) => {
    const by = `the guard's entry of ${name}`;
    const lives = state === 'owner' || state === 'migrating-out';
    return disks.map(({ path }) => ({ by, path, ...(lives ? {} : { unlessOf: migrationId }) }));
  });
}

/** Of these, who means this disk: by its path, or by another name of the same file or device. */
export async function namersOf(
  { what: path, migrationId }: Pick<Orphan, 'what' | 'migrationId'>,
  disks: readonly NamedDisk[],
): Promise<string[]> {
  const [identity, real] = await Promise.all([diskIdentity(path), realOr(path)]);
  const by = new Set<string>();
  for (const disk of disks) {
    if (disk.unlessOf === migrationId) continue;
    if (disk.path === path || disk.path === real) by.add(disk.by);
    // A relative or foreign path, such as a network disk's, has no file here.
    else if (
      disk.path.startsWith('/') &&
      identity !== '' &&
      (await diskIdentity(disk.path)) === identity
    )
      by.add(disk.by);
  }
  return [...by];
}

/**
 * Processes that have the file or device open, and loop devices on it, as `qemu-nbd (4711)`. Processes that the kernel
 * does not let this user look into count as one more: nobody knows what they have open.
 */
export async function openersOf(path: string): Promise<string[]> {
  const wanted = await stat(path, { bigint: true });
  const found = new Set<string>();
  let closed = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue;
    const fds = await readdir(`/proc/${pid}/fd`).catch(goneIsEmpty);
    if (fds === undefined) closed += 1;
    for (const fd of fds ?? []) {
      const at = await stat(`/proc/${pid}/fd/${fd}`, { bigint: true }).catch(() => undefined);
      if (at === undefined) continue;
      const same = wanted.isBlockDevice()
        ? at.isBlockDevice() && at.rdev === wanted.rdev
        : at.dev === wanted.dev && at.ino === wanted.ino;
      if (same) found.add(`${await commandOf(pid)} (${pid})`);
    }
  }
  for (const loop of await loopsOn(path)) found.add(loop);
  if (closed > 0)
    found.add(
      `perhaps one of ${closed} processes that the worker may not look into (CAP_SYS_PTRACE)`,
    );
  return [...found];
}

const goneIsEmpty = (error: unknown): string[] | undefined => {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ESRCH') return [];
  if (code === 'EACCES' || code === 'EPERM') return undefined;
  throw error;
};

const commandOf = async (pid: string): Promise<string> =>
  (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'a process')).trim();

async function loopsOn(path: string): Promise<string[]> {
  const real = await realOr(path);
  const names = await readdir('/sys/block').catch(() => [] as string[]);
  const found: string[] = [];
  for (const name of names.filter((one) => one.startsWith('loop'))) {
    const file = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '');
    if (file.trim() === real) found.push(`/dev/${name}`);
  }
  return found;
}

const realOr = async (path: string): Promise<string> =>
  realpath(path).catch(() => readlink(path).catch(() => path));
