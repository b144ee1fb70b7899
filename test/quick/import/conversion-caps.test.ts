import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConversionTermsInForce } from '../../../activities/import/conversion-terms.ts';
import { ImportThrottles } from '../../../activities/import/throttles.ts';
import { UploadShares } from '../../../activities/import/upload-shares.ts';

let stateDir: string;
let terms: ConversionTermsInForce;
const configured = { upBytesPerSecond: 0, downBytesPerSecond: 7000, parallel: 2 };
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'import-caps-'));
  terms = new ConversionTermsInForce(stateDir, configured);
});
afterEach(() => rm(stateDir, { recursive: true }));

const { signal } = new AbortController();

describe('what is set of a conversion host', () => {
  it('is as configured until a person sets it, and outlives the worker', async () => {
    expect(await terms.inForce()).toEqual({ takesImports: true, ...configured });
    await terms.apply({ takesImports: false, parallel: 5 });
    const after = { ...configured, takesImports: false, parallel: 5 };
    expect(await terms.inForce()).toEqual(after);
    expect(await new ConversionTermsInForce(stateDir, configured).inForce()).toEqual(after);
    // What is not named any more is as configured again.
    expect(await terms.apply({ takesImports: true })).toEqual({
      takesImports: true,
      ...configured,
    });
  });
});

describe('the cap on what comes into the cache', () => {
  it('lets a copy go on at once that waits for a slow one to be lifted', async () => {
    await terms.apply({ takesImports: true, downBytesPerSecond: 1000 });
    const throttles = new ImportThrottles(terms);
    const input = { migrationId: 'a', bandwidthBytesPerSecond: 0 };
    await throttles.during(input, async (throttle) => {
      // Its debt would take a quarter of an hour.
      await throttle.take(1_000_000, signal);
      const next = throttle.take(1, signal);
      await terms.apply({ takesImports: true, downBytesPerSecond: 0 });
      await next;
    });
  });

  it('is one for all copies', async () => {
    const throttles = new ImportThrottles(terms);
    const stop = new AbortController();
    const take = (migrationId: string) =>
      throttles.during({ migrationId, bandwidthBytesPerSecond: 0 }, (throttle) =>
        throttle.take(1_000_000, stop.signal),
      );
    await take('a');
    const waiting = take('b');
    stop.abort(new Error('it waits'));
    await expect(waiting).rejects.toThrow('it waits');
  });
});

describe('the cap on what leaves the cache', () => {
  it('is shared equally by the transfers as they come, go and as it changes', async () => {
    await terms.apply({ takesImports: true, upBytesPerSecond: 9000 });
    const shares = new UploadShares(terms);
    expect(await shares.of({ migrationId: 'a' }, signal)).toBe(9000);
    const second = shares.of({ migrationId: 'a', known: 9000 }, signal);
    expect(await shares.of({ migrationId: 'b' }, signal)).toBe(4500);
    expect(await second).toBe(4500);
    const told = ['a', 'b'].map((migrationId) => shares.of({ migrationId, known: 4500 }, signal));
    await terms.apply({ takesImports: true, upBytesPerSecond: 2000 });
    expect(await Promise.all(told)).toEqual([1000, 1000]);
    const last = shares.of({ migrationId: 'a', known: 1000 }, signal);
    shares.leave('b');
    expect(await last).toBe(2000);
    const lifted = shares.of({ migrationId: 'a', known: 2000 }, signal);
    await terms.apply({ takesImports: true, upBytesPerSecond: 0 });
    expect(await lifted).toBe(0);
  });

  it('is shared no more with an import that nobody asks for any longer', async () => {
    await terms.apply({ takesImports: true, upBytesPerSecond: 9000 });
    const shares = new UploadShares(terms, 100);
    const stop = new AbortController();
    expect(await shares.of({ migrationId: 'a' }, signal)).toBe(9000);
    expect(await shares.of({ migrationId: 'gone' }, signal)).toBe(4500);
    const ended = shares.of({ migrationId: 'gone', known: 4500 }, stop.signal);
    const alone = shares.of({ migrationId: 'a', known: 4500 }, signal);
    stop.abort(new Error('terminated'));
    await expect(ended).rejects.toThrow('terminated');
    expect(await alone).toBe(9000);
  });

  it('is waited for no longer than the transfer lasts', async () => {
    const shares = new UploadShares(terms);
    const stop = new AbortController();
    const waiting = shares.of({ migrationId: 'a', known: 0 }, stop.signal);
    stop.abort(new Error('over'));
    await expect(waiting).rejects.toThrow('over');
  });
});
