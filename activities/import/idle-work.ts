/** Work on cached VMs that nobody waits for: whoever wants such a VM, or the room that it takes, calls it off. */
import { dirname } from 'node:path';
import { cancelled } from '../../domain/errors.ts';

export interface IdleWork {
  /** What it may come to write into the cache beside what is there. */
  mayWriteBytes: number;
}

interface UnderWay extends IdleWork {
  calledOff: AbortController;
  over: Promise<void>;
}

/** By the folder of the cached VM. Upkeep and activities of a worker are one process. */
const underWay = new Map<string, UnderWay>();

/** Runs `act` until it is done, called off, or `signal` aborts: it is to end soon once its own signal has. */
export async function workIdly<T>(
  folder: string,
  { mayWriteBytes, signal }: IdleWork & { signal: AbortSignal },
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  callOff(folder);
  const calledOff = new AbortController();
  const { promise: over, resolve: end } = Promise.withResolvers<undefined>();
  const own = { mayWriteBytes, calledOff, over };
  underWay.set(folder, own);
  try {
    return await act(AbortSignal.any([signal, calledOff.signal]));
  } finally {
    if (underWay.get(folder) === own) underWay.delete(folder);
    end(undefined);
  }
}

/** At once; it lets go of its lock a moment later. */
export const callOff = (folder: string): void => underWay.get(folder)?.calledOff.abort(wanted());

/** All within a cache; resolves once what they wrote in vain is gone. */
export async function callOffAll(cacheDir: string): Promise<void> {
  const works = within(cacheDir);
  for (const { calledOff } of works) calledOff.abort(wanted());
  await Promise.all(works.map(({ over }) => over));
}

/** What may be written yet within a cache by what is under way, at most. */
export const idleBytes = (cacheDir: string): number =>
  within(cacheDir).reduce((sum, { mayWriteBytes }) => sum + mayWriteBytes, 0);

const within = (cacheDir: string): UnderWay[] =>
  [...underWay].filter(([folder]) => dirname(folder) === cacheDir).map(([, work]) => work);

const wanted = () =>
  cancelled({
    code: 'cache-wanted',
    message: 'an import wants the cache, or room in it',
    remedy: 'Nothing to do: it is taken up again once nobody does.',
  });
