/** The VM's lock as the kernel keeps it, without a program for each turn; test/quick/guard tries the real one. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { transient } from '../../../domain/errors.ts';
import type { VmLockOptions } from '../../../guard/lock.ts';
import { attempts } from './attempt.ts';
import type { Attempt } from './attempt.ts';

interface Holder {
  attempt: Attempt | undefined;
  freed: Promise<void>;
}

const holders = new Map<string, Holder>();
const heldHere = new AsyncLocalStorage<ReadonlySet<string>>();

export async function withVmLock<T>(options: VmLockOptions, fn: () => Promise<T>): Promise<T> {
  const path = `${options.stateDir}/${options.uuid}`;
  const outer = heldHere.getStore();
  if (outer?.has(path) === true) return fn();
  for (let holder = holders.get(path); holder !== undefined; holder = holders.get(path)) {
    // A frozen process keeps its lock for as long as it is frozen: the real wait ends in this error after 30 s.
    if (holder.attempt?.frozen === true) throw locked(options);
    await holder.freed;
  }
  const attempt = attempts.getStore();
  const { promise: freed, resolve } = Promise.withResolvers<undefined>();
  const release = () => {
    if (holders.get(path)?.freed === freed) holders.delete(path);
    resolve(undefined);
  };
  holders.set(path, { attempt, freed });
  attempt?.onDeath.add(release);
  try {
    return await heldHere.run(new Set([...(outer ?? []), path]), fn);
  } finally {
    attempt?.onDeath.delete(release);
    release();
  }
}

const locked = ({ uuid, host }: VmLockOptions) =>
  transient({
    code: 'vm-locked',
    message: `VM ${uuid} is being worked on by a frozen process`,
    remedy: 'It is tried again by itself.',
    ...(host === undefined ? {} : { host }),
  });
