/** Whether guests can run by KVM here. That `/dev/kvm` opens proves nothing: some of them kill every real kernel. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { programEnvironment } from './qemu-img.ts';
import { runLabelled } from './labelled-process.ts';

export type Acceleration = 'kvm' | 'tcg';

export interface ProbeOptions {
  /** Marks the probe's process. */
  id: string;
  /** A kernel that can boot; the newest of /boot if absent. */
  kernel?: string;
  signal?: AbortSignal;
  /** Tries the trial itself, by emulation, which works everywhere: then `kvm` says that the kernel came through. */
  emulate?: boolean;
}

/** A kernel by KVM is done in 3 s on a slow machine, by emulation in 20; one that hangs is as good as one that dies. */
const probeLimitMs = 90_000;
const maxConsoleLength = 1024 * 1024;

/**
 * Boots a kernel by KVM up to where it misses its root file system. `tcg` where it does not come so far, or where
 * there is no kernel to try.
 */
export async function probeAcceleration(options: ProbeOptions): Promise<Acceleration> {
  const kernel = options.kernel ?? (await newestKernel());
  if (kernel === undefined) return 'tcg';
  const machine = `q35,accel=${options.emulate === true ? 'tcg' : 'kvm'}`;
  let console = '';
  const { status } = await runLabelled({
    id: options.id,
    program: 'qemu-system-x86_64',
    args: [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', machine],
      ...['-cpu', 'max', '-m', '256', '-no-reboot', '-serial', 'stdio', '-kernel', kernel],
      ...['-append', 'console=ttyS0 panic=-1'],
    ],
    env: programEnvironment(),
    cwd: '/',
    limitMs: probeLimitMs,
    ...(options.signal && { signal: options.signal }),
    onOutput: (text) => (console = (console + text).slice(-maxConsoleLength)),
  });
  return status === 0 && provesKernel(console) ? 'kvm' : 'tcg';
}

/** Its own panic for want of a root file system is the last thing that a kernel does without one. */
export const provesKernel = (console: string): boolean =>
  console.includes('Kernel panic - not syncing: VFS: Unable to mount root fs');

/** The kernel that libguestfs would take for its appliance; undefined if there is none. */
export async function newestKernel(folder = '/boot'): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  const kernels = names.filter((name) => /^vmlinu[xz]-/.test(name));
  const newest = kernels.toSorted(new Intl.Collator('en', { numeric: true }).compare).at(-1);
  return newest === undefined ? undefined : join(folder, newest);
}
