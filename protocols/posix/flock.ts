/** flock(2) on an open file; docs/decisions/0009 says why by this library. */
import { spawn } from 'node:child_process';
import { getSystemErrorName } from 'node:util';

/** From Linux's <sys/file.h> and <errno.h>, the same on every processor that libvirt runs on. */
const lockExclusive = 2;
const lockNonBlocking = 4;
const errno = { interrupted: 4, wouldBlock: 11 } as const;

type Flock = (fd: number, operation: number) => number;
interface Library {
  flock: Flock;
  errno: () => number;
}

let loading: Promise<Library | undefined> | undefined;

/** Loaded when first needed: most commands take no lock. Undefined on a processor that it was not built for. */
async function load(): Promise<Library | undefined> {
  try {
    const { default: koffi } = await import('koffi');
    const flock = koffi.load(null).func('int flock(int fd, int operation)') as Flock;
    return { flock, errno: () => koffi.errno() };
  } catch {
    return undefined;
  }
}

export interface FlockOptions {
  /** 0: not at all. */
  waitMs: number;
  /** Ends the wait; the promise rejects with its reason. */
  signal?: AbortSignal;
}

/**
 * Whether the lock of that open file is held now. It belongs to the open file description, and goes when its last
 * descriptor is closed, however the process ends. Rejects where the file cannot be locked at all.
 */
export async function takeFlock(fd: number, { waitMs, signal }: FlockOptions): Promise<boolean> {
  // Nearly always nobody else has it, and no program has to be started to wait.
  const tried = await tryFlock(fd);
  signal?.throwIfAborted();
  if (tried === 'taken') return true;
  if (tried === 'busy' && waitMs <= 0) return false;
  return waitForFlock(fd, { waitMs, ...(signal === undefined ? {} : { signal }) });
}

/** Exit status that `flock` is told to give when its time is up. */
const timedOutStatus = 75;
/** What the program needs to come up and to answer, beside its wait. */
const programMs = 10_000;

/**
 * Waits in the kernel, by a child that shares the open file description and leaves the lock to it: a wait in this
 * process would keep a thread of its pool, and could not be called off.
 */
async function waitForFlock(fd: number, { waitMs, signal }: FlockOptions): Promise<boolean> {
  const wait = waitMs <= 0 ? ['-n'] : ['-w', (waitMs / 1000).toFixed(3)];
  const child = spawn('flock', ['-x', ...wait, '-E', String(timedOutStatus), '3'], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    timeout: Math.ceil(Math.max(0, waitMs)) + programMs,
    killSignal: 'SIGKILL',
  });
  let words = '';
  child.stderr
    ?.setEncoding('utf8')
    .on('data', (text: string) => (words = (words + text).slice(0, 500)));
  const abort = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('close', resolve);
    });
    signal?.throwIfAborted();
    if (status === timedOutStatus) return false;
    if (status === 0) return true;
    throw new Error(words.trim() || `flock ended with status ${String(status)}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error('the program flock is missing', { cause: error });
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** `unavailable`: flock(2) cannot be called from here. Never waits. */
export async function tryFlock(fd: number): Promise<'taken' | 'busy' | 'unavailable'> {
  loading ??= load();
  const library = await loading;
  if (library === undefined) return 'unavailable';
  if (library.flock(fd, lockExclusive | lockNonBlocking) === 0) return 'taken';
  const failure = library.errno();
  if (failure === errno.wouldBlock || failure === errno.interrupted) return 'busy';
  throw new Error(`flock: ${getSystemErrorName(-failure)}`);
}
