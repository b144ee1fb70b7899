import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { LabHost } from './host.ts';
import { timedOut } from './wait.ts';

export interface ConsoleWait {
  timeoutMs: number;
}

/** Path of a VM's console inside its host; it holds the current run only. */
export const consolePath = (vm: string): string => `/var/log/libvirt/qemu/${vm}-console.log`;

/** Path of it on the machine: the log folder lies in the lab's folder, so it can be read also while the host is off. */
const fileOf = (host: LabHost, vm: string): string => `${host.folder}${consolePath(vm)}`;

/** What the console shows; '' if the VM never ran on that host. */
export async function readConsole(host: LabHost, vm: string): Promise<string> {
  try {
    return (await readFile(fileOf(host, vm), 'utf8')).replaceAll('\r', '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** The console's text now, and again after each change, for ever. */
export async function* waitForConsoleChange(host: LabHost, vm: string): AsyncGenerator<string> {
  const changes = watchFolder(`${host.folder}/var/log/libvirt/qemu`);
  try {
    for (;;) {
      yield await readConsole(host, vm);
      await changes.next();
    }
  } finally {
    changes.close();
  }
}

/** Resolves with the match once the console shows `text`; throws `lab-timeout` with its last lines. */
export async function waitForConsole(
  host: LabHost,
  vm: string,
  text: RegExp,
  wait: ConsoleWait,
): Promise<RegExpExecArray> {
  const signal = AbortSignal.timeout(wait.timeoutMs);
  const changes = watchFolder(`${host.folder}/var/log/libvirt/qemu`, signal);
  try {
    for (;;) {
      const seen = await readConsole(host, vm);
      const match = text.exec(seen);
      if (match !== null) return match;
      if (signal.aborted) {
        const options = {
          what: `the console of ${vm} to show ${String(text)}`,
          timeoutMs: wait.timeoutMs,
          host: host.name,
        };
        throw timedOut(options, `it ends with ${JSON.stringify(seen.slice(-400))}`);
      }
      await changes.next();
    }
  } finally {
    changes.close();
  }
}

/** Tells of changes in a folder, also of those between two calls of `next`. */
function watchFolder(
  folder: string,
  signal?: AbortSignal,
): { next: () => Promise<void>; close: () => void } {
  let changed = false;
  let wake: (() => void) | undefined;
  const notice = (): void => {
    changed = true;
    wake?.();
  };
  const watcher = watch(folder, notice);
  watcher.on('error', notice);
  signal?.addEventListener('abort', notice);
  return {
    next: async () => {
      if (!changed && signal?.aborted !== true)
        await new Promise<void>((resolve) => (wake = resolve));
      changed = false;
    },
    close: () => {
      signal?.removeEventListener('abort', notice);
      watcher.close();
    },
  };
}
