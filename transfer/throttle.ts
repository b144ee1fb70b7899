import { setTimeout as delay } from 'node:timers';

/** Time as the throttle sees it; tests bring their own. */
export interface ThrottleClock {
  nowMs(): number;
  /** Calls `fire` once after `ms`; the result calls it off. */
  after(ms: number, fire: () => void): () => void;
}

const systemClock: ThrottleClock = {
  nowMs: () => performance.now(),
  after: (ms, fire) => {
    const timer = delay(fire, ms);
    return () => clearTimeout(timer);
  },
};

export interface ThrottleOptions {
  /** 0: no cap. */
  bytesPerSecond: number;
  clock?: ThrottleClock;
}

interface Waiter {
  bytes: number;
  go(): void;
}

/** How much unused allowance may pile up, in ms of the rate. */
const burstMs = 250;
/** Node's timers take no more. */
const longestWaitMs = 2 ** 31 - 1;

/**
 * A token bucket that several copies share. Requests pass in the order they came; one passes as soon as the
 * bucket is not empty and leaves a debt, so that a request may be larger than the bucket.
 */
export class Throttle {
  readonly #clock: ThrottleClock;
  readonly #waiting: Waiter[] = [];
  #rate: number;
  /** Bytes that may pass now; below zero: debt. */
  #tokens: number;
  #countedAtMs: number;
  #cancelTimer: (() => void) | undefined;

  constructor({ bytesPerSecond, clock = systemClock }: ThrottleOptions) {
    this.#clock = clock;
    this.#rate = checkedRate(bytesPerSecond);
    this.#tokens = this.#burst();
    this.#countedAtMs = clock.nowMs();
  }

  /** Bytes per second; 0: no cap. */
  get rate(): number {
    return this.#rate;
  }

  /** Takes effect at once, also for those who wait already. */
  setRate(bytesPerSecond: number): void {
    this.#count();
    this.#rate = checkedRate(bytesPerSecond);
    // A debt that was run up under a fast rate must not stop a slow one for minutes.
    this.#tokens = Math.max(Math.min(this.#tokens, this.#burst()), -this.#rate);
    this.#letPass();
  }

  /** Resolves when `bytes` may cross; rejects with the signal's reason. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#rate === 0) return;
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        go: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal?.reason as Error);
        this.#letPass();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
      this.#letPass();
    });
  }

  #burst(): number {
    return (this.#rate * burstMs) / 1000;
  }

  #count(): void {
    const now = this.#clock.nowMs();
    const earned = ((now - this.#countedAtMs) * this.#rate) / 1000;
    this.#tokens = Math.min(this.#tokens + earned, this.#burst());
    this.#countedAtMs = now;
  }

  #letPass(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#count();
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      if (this.#rate > 0 && this.#tokens <= 0) break;
      this.#tokens -= next.bytes;
      this.#waiting.shift();
      next.go();
    }
    const waitMs = Math.min(Math.ceil((-this.#tokens * 1000) / this.#rate) + 1, longestWaitMs);
    this.#cancelTimer = this.#clock.after(waitMs, () => this.#letPass());
  }
}

const checkedRate = (bytesPerSecond: number): number => {
  if (!Number.isFinite(bytesPerSecond) || bytesPerSecond < 0) {
    throw new RangeError(`a rate of ${bytesPerSecond} bytes per second`);
  }
  return bytesPerSecond;
};
