/** One attempt of an activity as a process that can die, freeze or be told to end at any of its steps. */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Attempt {
  /** Process that it runs in; a lock belongs to it. */
  readonly process: symbol;
  /** Steps so far: calls of the hypervisor or of the data plane, and durable writes. */
  steps: number;
  /** Asked before each step; may never resolve (the process is gone) or late (it was frozen). */
  onStep: (step: number) => Promise<void> | undefined;
  dead: boolean;
  /** What has to happen when the process dies: the kernel lets go of its locks. */
  readonly onDeath: Set<() => void>;
  frozen: boolean;
}

export const attempts = new AsyncLocalStorage<Attempt>();

/** A point at which a process may die. */
export async function step(): Promise<void> {
  const attempt = attempts.getStore();
  if (attempt === undefined) return;
  attempt.steps += 1;
  await attempt.onStep(attempt.steps);
}

const never = (): Promise<never> => new Promise(() => undefined);

/** The process is gone: nothing of it goes on, and its locks are free. */
export function die(attempt: Attempt): Promise<never> {
  attempt.dead = true;
  for (const release of attempt.onDeath) release();
  return never();
}
