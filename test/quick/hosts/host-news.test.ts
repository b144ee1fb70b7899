import { describe, expect, it } from 'vitest';
import type { HostReading } from '../../../domain/hosts/reading.ts';
import { HostNews } from '../../../workers/host-news.ts';
import { reading } from './readings.ts';

/** Looks as often as the test says, and tells into a list. */
function news(readings: readonly (HostReading | Error)[], minutesApart = 1) {
  const told: HostReading[] = [];
  const warned: unknown[] = [];
  const over = new AbortController();
  let looks = 0;
  const followed = new HostNews({
    read: () => {
      const now = readings[Math.min(looks, readings.length - 1)];
      looks += 1;
      if (looks > readings.length) over.abort();
      return now instanceof Error ? Promise.reject(now) : Promise.resolve(now!);
    },
    tell: (said) => {
      if (!over.signal.aborted) told.push(said);
      return Promise.resolve();
    },
    logger: { warn: (facts: unknown) => warned.push(facts) } as never,
    lookEveryMs: 1,
    restMs: 0,
    nowMs: () => looks * minutesApart * 60_000,
  });
  return { news: followed, told, warned, over };
}

const gibibyte = 1024 ** 3;

describe('the news of a host', () => {
  it('are told at the start, and then only what is more than noise', async () => {
    const first = reading({ freeMemoryBytes: 32 * gibibyte });
    const noise = reading({ freeMemoryBytes: 31.5 * gibibyte, readAt: '2026-03-04T10:01:00.000Z' });
    const more = reading({ freeMemoryBytes: 28 * gibibyte });
    const group = { ...more, groups: { db: 1 } };
    const played = news([first, noise, noise, more, more, group]);
    await played.news.run(played.over.signal);
    expect(played.told).toEqual([first, more, group]);
  });

  it('are told of a load that changed by a quarter of the CPUs', async () => {
    const [first, noise, more] = [1, 2.9, 3.1].map((load) => reading({ load }));
    const played = news([first!, noise!, more!]);
    await played.news.run(played.over.signal);
    expect(played.told).toEqual([first, more]);
  });

  it('are told now and then though nothing changes', async () => {
    const played = news([reading(), reading(), reading()], 6);
    await played.news.run(played.over.signal);
    expect(played.told).toHaveLength(2);
  });

  it('are told after a verb that changed the host, also if it failed', async () => {
    const played = news([reading(), reading(), reading(), reading()]);
    const verbs = played.news.after({
      settleTarget: () => Promise.reject(new Error('no')),
      listVms: () => Promise.resolve([]),
    });
    const running = played.news.run(played.over.signal);
    await expect(verbs.settleTarget()).rejects.toThrow('no');
    await verbs.listVms();
    await running;
    expect(played.told).toHaveLength(2);
  });

  it('of a host that cannot be read come late, and are not lost', async () => {
    const played = news([new Error('libvirt is away'), reading()]);
    await played.news.run(played.over.signal);
    expect(played.warned).toHaveLength(1);
    expect(played.told).toHaveLength(1);
  });

  it('of many steps at once are told together, and the last step is not forgotten', async () => {
    const told: number[] = [];
    const over = new AbortController();
    let steps = 0;
    const followed = new HostNews({
      read: () => Promise.resolve(reading({ vms: steps })),
      tell: ({ vms }) => {
        told.push(vms);
        if (vms === 20) over.abort();
        return Promise.resolve();
      },
      logger: { warn: () => undefined } as never,
      lookEveryMs: 60_000,
      restMs: 100,
    });
    const verbs = followed.after({ settleTarget: () => Promise.resolve((steps += 1)) });
    const running = followed.run(over.signal);
    for (let step = 0; step < 20; step++) await verbs.settleTarget();
    await running;
    expect(told.at(-1)).toBe(20);
    expect(told.length).toBeLessThanOrEqual(2);
  });
});
