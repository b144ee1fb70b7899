import type { Fault } from '../domain/errors.ts';
import { Handling } from '../domain/errors.ts';
import { MoveFailed } from './faults.ts';

export type Granted<T> = T & { granted: true };
/** `transient`: it may be granted later. */
export interface Refused {
  granted: false;
  fault: Fault;
}

/** The activity itself asks again meanwhile: a move that waits for a day leaves some 4,000 events. */
export const waitMs = 4 * 60_000;
/** Longer than any queue; then the move fails with nothing touched, ms. */
const patienceMs = 7 * 24 * 60 * 60_000;
const mostWaitNotes = 5;

/**
 * Asks for what others have to give back first: once, then for `waitMs` at a time. Throws `MoveFailed` where no waiting
 * helps, and what `ask` throws.
 */
export async function untilGranted<T extends object>(
  ask: (wait: { waitMs?: number }) => Promise<Granted<T> | Refused>,
  note: (text: string) => void,
): Promise<Granted<T>> {
  const untilMs = Date.now() + patienceMs;
  let answer = await ask({});
  for (let waits = 1; !answer.granted; waits += 1) {
    const { fault } = answer;
    if (fault.handling !== Handling.transient || Date.now() > untilMs) throw new MoveFailed(fault);
    // Figures in a reason may change with each answer; the first few say it.
    if (waits <= mostWaitNotes) note(fault.message);
    answer = await ask({ waitMs });
  }
  return answer;
}
