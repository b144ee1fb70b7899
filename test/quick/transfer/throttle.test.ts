import { describe, expect, it } from 'vitest';
import { Throttle, type ThrottleClock } from '../../../transfer/throttle.ts';

/** A clock that moves only when told. */
class HandClock implements ThrottleClock {
  #now = 0;
  #timers: { atMs: number; fire: () => void }[] = [];
  nowMs(): number {
    return this.#now;
  }
  after(ms: number, fire: () => void): () => void {
    const timer = { atMs: this.#now + ms, fire };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((each) => each !== timer));
  }
  get timers(): number {
    return this.#timers.length;
  }
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > end) break;
      this.#now = Math.max(this.#now, next.atMs);
      this.#timers = this.#timers.filter((each) => each !== next);
      next.fire();
    }
    this.#now = end;
  }
}

const made = (bytesPerSecond: number) => {
  const clock = new HandClock();
  return { clock, throttle: new Throttle({ bytesPerSecond, clock }) };
};

/** Takes again and again; tells how many bytes passed. */
const runner = (throttle: Throttle, bytes: number, signal: AbortSignal) => {
  const passed = { bytes: 0 };
  const run = async (): Promise<void> => {
    for (;;) {
      await throttle.take(bytes, signal);
      passed.bytes += bytes;
    }
  };
  const ended = run().catch(() => undefined);
  return { passed, ended };
};

describe('the throttle', () => {
  it('lets everything pass without a cap', async () => {
    const { throttle, clock } = made(0);
    for (let count = 0; count < 100; count++) await throttle.take(1e9);
    expect(clock.timers).toBe(0);
  });

  it('keeps the rate over ten seconds, for small requests and for those larger than its bucket', async () => {
    for (const bytes of [100, 40_000]) {
      const { throttle, clock } = made(10_000);
      const abort = new AbortController();
      const { passed, ended } = runner(throttle, bytes, abort.signal);
      await clock.advance(10_000);
      expect(passed.bytes).toBeGreaterThanOrEqual(90_000);
      expect(passed.bytes).toBeLessThanOrEqual(100_000 + 2500 + bytes);
      abort.abort(new Error('enough'));
      await ended;
      expect(clock.timers).toBe(0);
    }
  });

  it('shares one rate between several copies, evenly', async () => {
    const { throttle, clock } = made(10_000);
    const abort = new AbortController();
    const runs = [1, 2, 3].map(() => runner(throttle, 500, abort.signal));
    await clock.advance(9000);
    for (const { passed } of runs) expect(passed.bytes / 30_000).toBeCloseTo(1, 0);
    abort.abort(new Error('enough'));
    await Promise.all(runs.map(({ ended }) => ended));
  });

  it('follows a change of its rate at once, up, down and to no cap', async () => {
    const { throttle, clock } = made(1000);
    const abort = new AbortController();
    const { passed, ended } = runner(throttle, 1000, abort.signal);
    await clock.advance(5000);
    const slow = passed.bytes;
    throttle.setRate(100_000);
    await clock.advance(5000);
    expect(passed.bytes - slow).toBeGreaterThan(450_000);
    throttle.setRate(1000);
    const fast = passed.bytes;
    await clock.advance(5000);
    expect(passed.bytes - fast).toBeLessThanOrEqual(6000);
    abort.abort(new Error('enough'));
    await ended;
    const waiting = throttle.take(1e12).then(() => throttle.take(1));
    throttle.setRate(0);
    await waiting;
  });

  it('rejects the one who is aborted with the reason and lets the next pass', async () => {
    const { throttle, clock } = made(1000);
    await throttle.take(5000);
    const abort = new AbortController();
    const first = throttle.take(1_000_000, abort.signal);
    const second = throttle.take(1);
    abort.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    await clock.advance(5000);
    await second;
    await expect(throttle.take(1, abort.signal)).rejects.toThrow('enough');
  });

  it('refuses a rate that is none', () => {
    expect(() => made(-1)).toThrow(RangeError);
    expect(() => made(Number.NaN)).toThrow(RangeError);
  });
});
