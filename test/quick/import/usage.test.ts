import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { conversionUsage, lookAtDisks } from '../../../activities/import/usage.ts';
import { usageOver, usageSpans, usageTiers, withSample } from '../../../domain/import/usage.ts';
import type { UsageRing, UsageSample, UsageSpan } from '../../../domain/import/usage.ts';
import { conversionHost, PlayedSource } from './played-source.ts';

const begin = Date.parse('2026-01-01T00:00:00Z') / 1000;
const sample = (at: number, usedBytes: number): UsageSample => ({
  ...{ at, cacheBytes: usedBytes },
  disks: { '/': { usedBytes, freeBytes: 1000 - usedBytes } },
});
const used = (samples: readonly UsageSample[]): number[] =>
  samples.map(({ disks }) => disks['/']?.usedBytes ?? -1);

/** A look every `everySeconds`, the use as `by` says. */
function looked(seconds: number, everySeconds: number, by: (at: number) => number): UsageRing {
  let ring: UsageRing = [];
  for (let at = 0; at <= seconds; at += everySeconds)
    ring = withSample(ring, sample(begin + at, by(at)));
  return ring;
}
const over = (ring: UsageRing, span: UsageSpan, seconds: number, most = 10_000) =>
  usageOver(ring, { span, nowSeconds: begin + seconds, most });

it('keeps so many samples of each tier and no more', () => {
  const year = 2 * usageSpans['1y'];
  const ring = looked(year, 12 * 3600, () => 1);
  for (const [tier, { most }] of usageTiers.entries())
    expect(ring[tier]?.length).toBeLessThanOrEqual(most);
  expect(ring.at(-1)).toHaveLength(366);
});

it('remembers of a time what was used most', () => {
  const ring = looked(3600, 60, (at) => (at === 1800 ? 900 : 100));
  expect(Math.max(...used(over(ring, '1d', 3600)))).toBe(900);
  // The peak lies in one quarter of an hour alone.
  expect(used(over(ring, '1d', 3600)).filter((one) => one === 900)).toHaveLength(1);
});

it('tells of the last quarter of an hour by the minute, and of a year by the day', () => {
  const ring = looked(7200, 60, (at) => at / 60);
  expect(used(over(ring, '15m', 7200))).toEqual(
    Array.from({ length: 16 }, (_, index) => 105 + index),
  );
  expect(over(ring, '1y', 7200)).toHaveLength(1);
});

it('fits into a table, and the peak with it', () => {
  const ring = looked(7200, 60, (at) => (at === 6660 ? 900 : 100));
  const rows = over(ring, '1h', 7200, 12);
  expect(rows.length).toBeLessThanOrEqual(12);
  expect(used(rows)).toContain(900);
});

it('takes a clock that was set back as the time that is open', () => {
  const ring = withSample(withSample([], sample(begin + 600, 5)), sample(begin, 7));
  expect(ring[0]).toHaveLength(1);
  expect(used(ring[0] ?? [])).toEqual([7]);
});

it('looks at the disks of this machine, that of the cache among them, and keeps what it saw', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'import-usage-'));
  try {
    const parts = await conversionHost(dir, new PlayedSource());
    const atMs = begin * 1000;
    await lookAtDisks(parts, atMs);
    await lookAtDisks(parts, atMs + 60_000);
    const { cacheDisk, samples } = await conversionUsage(parts, { span: '15m' }, atMs + 60_000);
    expect(samples).toHaveLength(2);
    const use = samples[0]?.disks[cacheDisk];
    expect(use?.usedBytes).toBeGreaterThan(0);
    const file = join(parts.host.stateDir, 'conversion-usage.json');
    expect((await stat(file)).size).toBeLessThan(20_000);
    // What is for people only must not keep a host from its work.
    await writeFile(file, (await readFile(file, 'utf8')).slice(0, 30));
    await lookAtDisks(parts, atMs + 120_000);
    expect((await conversionUsage(parts, { span: '15m' }, atMs + 120_000)).samples).toHaveLength(1);
  } finally {
    await rm(dir, { recursive: true });
  }
});
