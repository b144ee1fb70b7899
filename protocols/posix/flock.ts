/** flock(2) on an open file, without a program to be started; docs/decisions/0009 says why by this library. */
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

/**
 * `taken`: the open file description holds the lock now, and loses it when its last descriptor is closed, however the
 * process ends. `busy`: another one has it. `unavailable`: flock(2) cannot be called from here. Never waits. Throws
 * where the file cannot be locked at all.
 */
export async function tryFlock(fd: number): Promise<'taken' | 'busy' | 'unavailable'> {
  loading ??= load();
  const library = await loading;
  if (library === undefined) return 'unavailable';
  if (library.flock(fd, lockExclusive | lockNonBlocking) === 0) return 'taken';
  const failure = library.errno();
  if (failure === errno.wouldBlock || failure === errno.interrupted) return 'busy';
  throw new Error(`flock: ${getSystemErrorName(-failure)}`);
}
