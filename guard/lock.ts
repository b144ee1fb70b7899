import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdir, open, readFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { cancelled, needsOperator, permanent, transient } from '../domain/errors.ts';
import { takeFlock } from '../protocols/posix/flock.ts';
import { isVmUuid } from './ledger-file.ts';

export interface VmLockOptions {
  stateDir: string;
  uuid: string;
  /** How long to wait for the lock, ms; the holder's own work is not limited by it. */
  timeoutMs: number;
  /** Ends the wait, not the work. */
  signal?: AbortSignal;
  /** What is going to be done, for whoever has to wait: `cut over web to beta`. */
  operation?: string;
  /** Name of the host, for errors. */
  host?: string;
}

/** Per lock file, the end of the line of those who wait in this process. */
const tails = new Map<string, Promise<void>>();

/** Locks that the current chain of calls holds: a nested request for one of them goes straight through. */
const heldHere = new AsyncLocalStorage<ReadonlyMap<string, { held: boolean }>>();

/**
 * Runs `fn` while this process is the only one on the host that works on the VM.
 *
 * The lock is flock(2) on `<stateDir>/locks/<uuid>`. It belongs to a file descriptor that only this process holds, so
 * the kernel lets go of it however this process ends. Calls from within `fn` for the same VM do not wait. Throws `vm-locked` (transient, names the holder) when the time is up and
 * `cancelled` when the signal fires.
 */
export async function withVmLock<T>(options: VmLockOptions, fn: () => Promise<T>): Promise<T> {
  const { stateDir, uuid } = options;
  if (!isVmUuid(uuid)) {
    throw permanent({
      code: 'uuid-invalid',
      message: `"${uuid}" is not the UUID of a VM`,
      remedy: 'Give the UUID as `virsh domuuid` prints it.',
    });
  }
  const folder = join(stateDir, 'locks');
  const path = join(folder, uuid);
  const outer = heldHere.getStore();
  if (outer?.get(path)?.held) return fn();

  const deadline = performance.now() + options.timeoutMs;
  const leaveQueue = await takeTurn(path, deadline, options);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await open(path, 'a+', 0o600);
    try {
      await lockFile(file, path, { ...options, timeoutMs: deadline - performance.now() });
      await describeHolder(file, options.operation ?? '');
      const token = { held: true };
      try {
        return await heldHere.run(new Map([...(outer ?? []), [path, token]]), fn);
      } finally {
        token.held = false;
        await file.truncate(0);
      }
    } finally {
      await file.close();
    }
  } finally {
    leaveQueue();
  }
}

/** Waits in this process's own line first, so that a hundred waiters do not cost a hundred `flock` processes. */
async function takeTurn(
  path: string,
  deadline: number,
  options: VmLockOptions,
): Promise<() => void> {
  const before = tails.get(path) ?? Promise.resolve();
  const { promise: mine, resolve: leave } = Promise.withResolvers<undefined>();
  const tail = before.then(() => mine);
  tails.set(path, tail);
  void tail.then(() => {
    if (tails.get(path) === tail) tails.delete(path);
  });
  const { promise: given, reject: giveUp } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => void locked(path, options).then(giveUp),
    deadline - performance.now(),
  );
  const abort = () => giveUp(gaveUp(options));
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    if (options.signal?.aborted) throw gaveUp(options);
    await Promise.race([before, given]);
    return () => leave(undefined);
  } catch (error) {
    leave(undefined);
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

/** Takes the lock for the open file description of `file`. */
async function lockFile(file: FileHandle, path: string, options: VmLockOptions): Promise<void> {
  const { signal } = options;
  // Who has no time left still gets a lock that is free.
  const waitMs = Math.max(1, options.timeoutMs);
  const taken = await takeFlock(file.fd, {
    waitMs,
    ...(signal === undefined ? {} : { signal }),
  }).catch((error: unknown) => {
    if (signal?.aborted) throw gaveUp(options);
    throw unlockable(path, options, error instanceof Error ? error.message : String(error));
  });
  if (!taken) throw await locked(path, options);
}

async function describeHolder(file: FileHandle, operation: string): Promise<void> {
  await file.truncate(0);
  const holder = { pid: process.pid, operation, since: new Date().toISOString() };
  await file.appendFile(`${JSON.stringify(holder)}\n`);
}

/** Who holds the lock, in words; the file may be empty for a moment while the holder changes. */
async function readHolder(path: string): Promise<string> {
  try {
    const holder = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const operation = typeof holder.operation === 'string' ? holder.operation : '';
    return `process ${String(holder.pid)}${operation === '' ? '' : ` (${operation})`} since ${String(holder.since)}`;
  } catch {
    return 'a process that did not say which';
  }
}

const ofHost = (options: VmLockOptions) =>
  options.host === undefined ? {} : { host: options.host };

const locked = async (path: string, options: VmLockOptions) =>
  transient({
    code: 'vm-locked',
    message: `VM ${options.uuid} is being worked on by ${await readHolder(path)}`,
    remedy: 'It is tried again by itself; if that process hangs, end it: the lock goes with it.',
    ...ofHost(options),
  });

const gaveUp = (options: VmLockOptions) =>
  cancelled({
    code: 'cancelled',
    message: `the wait for the lock of VM ${options.uuid} was called off`,
    remedy: 'Nothing was changed.',
    ...ofHost(options),
  });

const unlockable = (path: string, options: VmLockOptions, words: string) =>
  needsOperator({
    code: 'vm-lock-broken',
    message: `the lock ${path} cannot be taken: ${words}`,
    remedy:
      'The state folder has to be on a local file system, and util-linux has to be installed.',
    ...ofHost(options),
  });
