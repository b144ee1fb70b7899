import { ActivityCancellationType, proxyActivities, sleep } from '@temporalio/workflow';
import type { HostActivities } from '../activities/contract.ts';
import type { ImportActivities } from '../activities/import/contract.ts';
import type { Fault } from '../domain/errors.ts';
import { Handling } from '../domain/errors.ts';
import { hostQueue } from './contract.ts';
import { faultOf, isCancellation, MoveFailed } from './faults.ts';
import type { MoveRecord } from './move-record.ts';
import type { Orders } from './orders.ts';

/** A host that lost its worker is noticed after this long; the worker beats every second. */
const heartbeatTimeoutMs = 6_000;

export interface Limits {
  /** Longest run of one attempt, ms. */
  attemptMs: number;
  /** How long an attempt may wait for a worker of the host, ms. */
  pickUpMs: number;
  /** For how long, the first failed attempt included, transient faults are tried again quickly; after that the move shows as parked and tries slowly. */
  patienceMs: number;
  /** `fail`: nothing was touched yet, so no parking. */
  whenExhausted: 'park' | 'fail';
}

const minute = 60_000;
const day = 24 * 60 * minute;

export const limits = {
  check: { attemptMs: minute, pickUpMs: 10_000, patienceMs: 20_000, whenExhausted: 'fail' },
  act: { attemptMs: 5 * minute, pickUpMs: minute, patienceMs: 10 * minute, whenExhausted: 'park' },
  bulk: { attemptMs: 7 * day, pickUpMs: minute, patienceMs: 10 * minute, whenExhausted: 'park' },
} as const satisfies Record<string, Limits>;

const slowRetryMs = 10 * minute;
const parkLimitMs = 365 * day;

/** One activity on one host, with what the UI shows of it. */
export function activitiesOf(
  host: string,
  summary: string,
  limit: Limits,
): HostActivities & ImportActivities {
  return proxyActivities<HostActivities & ImportActivities>({
    taskQueue: hostQueue(host),
    startToCloseTimeout: limit.attemptMs,
    scheduleToStartTimeout: limit.pickUpMs,
    heartbeatTimeout: heartbeatTimeoutMs,
    // One attempt each: the loop below retries, so that every failed attempt stands in the report.
    retry: { maximumAttempts: 1 },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary,
  });
}

/** An activity that stands by while others act: begun again for ever, and left to itself when it is called off. */
export function watchOn(host: string, what: string): HostActivities & ImportActivities {
  return proxyActivities<HostActivities & ImportActivities>({
    taskQueue: hostQueue(host),
    startToCloseTimeout: limits.bulk.attemptMs,
    heartbeatTimeout: heartbeatTimeoutMs,
    retry: { initialInterval: 1_000, backoffCoefficient: 1 },
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    summary: `${host}: ${what}`,
  });
}

export interface HostCall<T> {
  host: string;
  /** What is done, for the UI and for messages: `copy vda`. */
  what: string;
  /** The step of the report that it belongs to, where others may run at the time. */
  step?: string;
  limit: Limits;
  /** Nothing is undone from here on without a person's word: also what no retry mends waits for one. */
  neverUndo?: true;
  /** Codes of faults that the caller takes as an answer: nobody is asked, and nothing is tried again. */
  takes?: readonly string[];
  call: (activities: HostActivities & ImportActivities) => Promise<T>;
}

type ShownTrouble = Pick<MoveRecord, 'park' | 'unpark' | 'failedAttempt'>;
type ParkedOrders = Pick<Orders, 'whileParked'>;

/** Calls hosts until it works, a person is needed, or it can never work. */
export class Hosts {
  readonly #record: ShownTrouble;
  readonly #orders: ParkedOrders;

  constructor(record: ShownTrouble, orders: ParkedOrders) {
    this.#record = record;
    this.#orders = orders;
  }

  async do<T>({ host, what, step, limit, call, neverUndo, takes = [] }: HostCall<T>): Promise<T> {
    // From the start of the first attempt that failed: waiting in vain for a worker counts.
    let troubledSinceMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      const beganMs = Date.now();
      const suffix = attempt === 1 ? '' : ` (attempt ${attempt})`;
      try {
        const result = await call(activitiesOf(host, `${host}: ${what}${suffix}`, limit));
        this.#record.unpark(what);
        return result;
      } catch (error) {
        // A call within this one has retried and parked already.
        if (isCancellation(error) || error instanceof MoveFailed) throw error;
        const fault = faultOf(error, { host, what });
        this.#record.failedAttempt(fault, step);
        if (takes.includes(fault.code)) throw new MoveFailed(fault);
        if (!mayRetry(fault) && neverUndo !== true) throw new MoveFailed(fault);
        troubledSinceMs ??= beganMs;
        const patient = Date.now() - troubledSinceMs < limit.patienceMs;
        if (isTransient(fault) && patient) await sleep(backOffMs(attempt));
        else if (limit.whenExhausted === 'fail') throw new MoveFailed(fault);
        else {
          const end = await this.parked(what, fault);
          if (end === 'rollback') throw new MoveFailed(fault);
          if (end === 'retry') troubledSinceMs = undefined;
        }
      }
    }
  }

  /**
   * Shows the move as parked until a person gives an order. A transient fault also ends by itself, after a while
   * (`time`), in another try: a host may come back in the night.
   */
  async parked(what: string, fault: Fault): Promise<'retry' | 'rollback' | 'time'> {
    this.#record.park(what, fault);
    const end = await this.#orders.whileParked(isTransient(fault) ? slowRetryMs : parkLimitMs);
    if (end !== 'time') this.#record.unpark(what);
    return end;
  }
}

const isTransient = (fault: Fault): boolean =>
  fault.handling === Handling.transient || fault.handling === Handling.outcomeUnknown;

const mayRetry = (fault: Fault): boolean =>
  isTransient(fault) || fault.handling === Handling.needsOperator;

const backOffMs = (attempt: number): number => Math.min(30_000, 500 * 2 ** Math.min(attempt, 6));
